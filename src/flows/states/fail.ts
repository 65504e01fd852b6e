// Fail: ends the run as FAILED with the author's error name and cause.
import type { ReferencePath } from '../paths.ts';
import type { Reader } from '../reader.ts';
import type { StateType, Visit } from './contract.ts';
import { valueAt } from './input.ts';

/** A field that is either a text or, as `<name>Path`, a reference to one. */
function textOrPath(reader: Reader, name: string, otherwise: string): (visit: Visit) => string {
  reader.oneOf([name, `${name}Path`], 'optional');
  const text = reader.text(name);
  const path: ReferencePath | undefined = reader.path(`${name}Path`);
  return (visit) => {
    if (path === undefined) return text ?? otherwise;
    const value = valueAt(path, `${name}Path`, visit);
    return typeof value === 'string' ? value : JSON.stringify(value);
  };
}

export const fail: StateType = {
  fields: ['Error', 'ErrorPath', 'Cause', 'CausePath'],
  goesOn: false,
  parse(reader, name) {
    const error = textOrPath(reader, 'Error', 'FlowFailed');
    const cause = textOrPath(reader, 'Cause', `the flow reached its Fail state ${name}`);
    return {
      enter: (visit) => ({ outcome: { kind: 'give_up', error: error(visit), cause: cause(visit) } }),
    };
  },
};
