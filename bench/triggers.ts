// How long after a file has settled its run is started.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { quantile, type Program } from './program.ts';

const SETTLE_S = 0.2;

interface EventPage {
  readonly events: readonly { readonly run_id: string | null; readonly event: { readonly time?: string } }[];
}

export async function measureTrigger(
  program: Program,
  home: string,
  files: number,
): Promise<{ readonly files: number; readonly p50_ms: number; readonly p99_ms: number }> {
  const dir = join(home, 'bench-drop');
  mkdirSync(dir);
  const flow = await program.call<{ id: string }>('POST', '/flows', {
    title: 'one pass',
    definition: { StartAt: 'A', States: { A: { Type: 'Pass', End: true } } },
    input_schema: {},
  });
  const trigger = await program.call<{ id: string }>('POST', '/api/triggers', {
    name: 'bench',
    kind: 'file',
    config: { dir, pattern: ['**/*'], settle_s: SETTLE_S },
    flow_id: flow.id,
    input: { 'path.$': '$.event.data.path' },
  });
  for (let n = 0; n < files; n++) {
    const name = join(dir, `f${n}.dat`);
    writeFileSync(`${name}.tmp`, 'x'.repeat(100));
    renameSync(`${name}.tmp`, name);
  }
  const deadline = Date.now() + 60_000;
  let page: EventPage = { events: [] };
  while (page.events.filter((event) => event.run_id !== null).length < files) {
    if (Date.now() > deadline) throw new Error('not every file started a run');
    await new Promise((resolve) => setTimeout(resolve, 100));
    page = await program.call<EventPage>('GET', `/api/triggers/${trigger.id}/events?limit=${files}`);
  }
  const delays: number[] = [];
  for (const event of page.events) {
    const run = await program.call<{ start_time: string }>('GET', `/runs/${event.run_id}`);
    delays.push(Date.parse(run.start_time) - Date.parse(event.event.time ?? ''));
  }
  return { files, p50_ms: quantile(delays, 0.5), p99_ms: quantile(delays, 0.99) };
}
