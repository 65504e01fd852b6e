// Single calls that wait for their result, and many no-op tasks submitted in batches.
import { jsonPayload, sourceCode } from '../src/protocol/packed.ts';
import { inParallel, quantile, type Program } from './program.ts';

export interface TaskSetup {
  readonly function_id: string;
}

export async function prepareTasks(program: Program): Promise<TaskSetup> {
  const made = await program.call<{ function_uuid: string }>('POST', '/v3/functions', {
    function_name: 'noop',
    function_code: sourceCode('noop', 'def noop(x=None):\n    return x'),
  });
  const setup = { function_id: made.function_uuid };
  // Warm: workers up, function known everywhere, run time learnt.
  await measureSingles(program, setup, { clients: 1, calls: 50 });
  await measureBulk(program, setup, { tasks: 2_000, per_call: 500, in_flight: 2 });
  return setup;
}

export interface Singles {
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly per_s: number;
}

export async function measureSingles(
  program: Program,
  setup: TaskSetup,
  load: { readonly clients: number; readonly calls: number },
): Promise<Singles> {
  const latencies: number[] = [];
  const started = performance.now();
  await inParallel(load.calls, load.clients, async (n) => {
    const began = performance.now();
    const answer = await program.call<{ tasks: { status: string }[] }>('POST', '/api/tasks?wait_s=30', {
      endpoint_id: program.endpoint_id,
      function_id: setup.function_id,
      calls: [{ args: [n] }],
    });
    if (answer.tasks[0]?.status !== 'success')
      throw new Error(`a single call failed: ${JSON.stringify(answer)}`);
    latencies.push(performance.now() - began);
  });
  const elapsed_s = (performance.now() - started) / 1000;
  return {
    p50_ms: quantile(latencies, 0.5),
    p99_ms: quantile(latencies, 0.99),
    per_s: load.calls / elapsed_s,
  };
}

export async function measureBulk(
  program: Program,
  setup: TaskSetup,
  load: { readonly tasks: number; readonly per_call: number; readonly in_flight: number },
): Promise<{ readonly per_s: number }> {
  const payloads = Array.from({ length: load.per_call }, (_, n) => jsonPayload([n], {}));
  const groups: string[] = [];
  const started = performance.now();
  await inParallel(load.tasks / load.per_call, load.in_flight, async () => {
    const answer = await program.call<{ task_group_id: string }>(
      'POST',
      `/v3/endpoints/${program.endpoint_id}/submit`,
      {
        tasks: { [setup.function_id]: payloads },
        result_serializers: ['JSONData'],
      },
    );
    groups.push(answer.task_group_id);
  });
  let done = 0;
  for (const group of groups) {
    const counts = await program.call<{ tasks: number; done: number; failed: number }>(
      'GET',
      `/api/task_groups/${group}?wait_s=60`,
    );
    if (counts.failed > 0) throw new Error(`${counts.failed} tasks of a group failed`);
    done += counts.done;
  }
  if (done !== load.tasks) throw new Error(`only ${done} of ${load.tasks} tasks ended`);
  return { per_s: load.tasks / ((performance.now() - started) / 1000) };
}
