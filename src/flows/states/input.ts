// The input of a state: Parameters, InputPath, or the whole run state.
import type { Json } from '../../providers/contract.ts';
import { StateFailure } from '../failures.ts';
import { buildParameters, type Built } from '../parameters.ts';
import { PathError, resolve, type ReferencePath } from '../paths.ts';
import type { Reader } from '../reader.ts';
import type { Visit } from './contract.ts';

/** Reads Parameters and InputPath, of which at most one may be given; answers how to build the input. */
export function readInput(reader: Reader): (visit: Visit) => Built {
  reader.oneOf(['Parameters', 'InputPath'], 'optional');
  const parameters = reader.parameters();
  const inputPath = reader.path('InputPath');
  return (visit) => {
    if (parameters !== undefined) return buildParameters(parameters, visit.root);
    if (inputPath === undefined || inputPath.segments.length === 0) return { value: visit.data, hidden: [] };
    return { value: valueAt(inputPath, 'InputPath', visit), hidden: [] };
  };
}

/** The value a reference field of a state names. Throws StateFailure naming the field. */
export function valueAt(path: ReferencePath, field: string, visit: Visit): Json {
  try {
    return resolve(visit.root, path);
  } catch (error) {
    if (error instanceof PathError)
      throw new StateFailure('States.ParameterPathFailure', `${field}: ${error.message}`);
    throw error;
  }
}
