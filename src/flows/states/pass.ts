// Pass: reshapes the run state. `Result` is a constant; otherwise the input (Parameters, InputPath or the whole
// state) is the result.
import type { StateType } from './contract.ts';
import { readInput } from './input.ts';

export const pass: StateType = {
  fields: ['Parameters', 'InputPath', 'Result', 'ResultPath', 'Next', 'End'],
  goesOn: true,
  parse(reader) {
    const build = readInput(reader);
    const result = reader.object('Result');
    return {
      enter(visit) {
        const { value, hidden } = build(visit);
        const outcome = result === undefined ? { value, hidden } : { value: result };
        return { input: value, hidden, outcome: { kind: 'result', ...outcome } };
      },
    };
  },
};
