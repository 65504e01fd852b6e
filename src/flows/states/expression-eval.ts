// ExpressionEval: computes its Parameters and writes them at ResultPath.
import { buildParameters } from '../parameters.ts';
import type { StateType } from './contract.ts';

export const expressionEval: StateType = {
  fields: ['Parameters', 'ResultPath', 'Next', 'End'],
  goesOn: true,
  parse(reader) {
    const parameters = reader.parameters('required');
    if (!reader.has('ResultPath')) reader.problem('ResultPath', 'field required', 'value_error.missing');
    return {
      enter(visit) {
        const { value, hidden } =
          parameters === undefined ? { value: {}, hidden: [] } : buildParameters(parameters, visit.root);
        return { input: value, hidden, outcome: { kind: 'result', value, hidden } };
      },
    };
  },
};
