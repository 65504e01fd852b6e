// Runs: look, wait, follow the log, cancel.
import { call, collect, segment, waitFor, type WaitOptions } from './call.ts';
import { runEnded, type LogEntry, type LogPage, type RunDocument } from './documents.ts';
import { pause, type Http } from './http.ts';

export interface RunFilter {
  /** SUCCEEDED, FAILED, ACTIVE, INACTIVE; several with commas. */
  readonly status?: string | undefined;
  readonly flow_id?: string | undefined;
  /** Part of the label. */
  readonly label?: string | undefined;
  /** 100 when absent. */
  readonly limit?: number | undefined;
}

export interface Runs {
  /** Newest first. */
  readonly list: (filter?: RunFilter) => Promise<readonly RunDocument[]>;
  readonly get: (id: string) => Promise<RunDocument>;
  /** Waits for its end; on time-out answers the run as it is then. */
  readonly wait: (id: string, options?: WaitOptions<RunDocument>) => Promise<RunDocument>;
  /** Oldest first, all of it up to `limit` (1000). */
  readonly log: (id: string, options?: { readonly limit?: number }) => Promise<readonly LogEntry[]>;
  /** Calls `onEntry` for each log entry as it comes, until the run has ended or the time is over. */
  readonly follow: (
    id: string,
    onEntry: (entry: LogEntry) => void,
    options?: WaitOptions,
  ) => Promise<RunDocument>;
  readonly cancel: (id: string) => Promise<RunDocument>;
}

const PAGE = 100;
/** While a run goes on, its log is read about this often. */
const LOOK_MS = 500;

function logPage(http: Http, id: string, marker: string | undefined, signal?: AbortSignal): Promise<LogPage> {
  const query = marker === undefined ? { limit: PAGE, reverse_order: false } : { marker };
  return call(http, 'GET', `/runs/${segment(id)}/log`, { query, signal });
}

async function follow(
  http: Http,
  id: string,
  onEntry: (entry: LogEntry) => void,
  options: WaitOptions,
): Promise<RunDocument> {
  const end = options.timeout_s === undefined ? Infinity : Date.now() + options.timeout_s * 1000;
  let marker: string | undefined;
  // The last page grows: how much of it has been shown.
  let shown = 0;
  for (;;) {
    // The run is read before its log: entries written up to its end are then in the log.
    const run = await call<RunDocument>(http, 'GET', `/runs/${segment(id)}`, { signal: options.signal });
    for (;;) {
      const page = await logPage(http, id, marker, options.signal);
      page.entries.slice(shown).forEach(onEntry);
      shown = page.entries.length;
      if (!page.has_next_page || page.marker === undefined || page.marker === null) break;
      marker = page.marker;
      shown = 0;
    }
    const left_ms = end - Date.now();
    if (runEnded(run) || left_ms <= 0) return run;
    await pause(Math.min(LOOK_MS, left_ms), options.signal);
  }
}

export function makeRuns(http: Http): Runs {
  return {
    list: (filter = {}) =>
      collect(filter.limit ?? PAGE, async (marker) => {
        const first = {
          filter_status: filter.status,
          filter_flow_id: filter.flow_id,
          filter_label: filter.label,
          orderby: 'start_time DESC',
          per_page: Math.min(filter.limit ?? PAGE, PAGE),
        };
        const page = await call<{ runs: RunDocument[]; marker?: string | null }>(http, 'GET', '/runs', {
          query: marker === undefined ? first : { marker },
        });
        return { items: page.runs, marker: page.marker };
      }),
    get: (id) => call(http, 'GET', `/runs/${segment(id)}`),
    wait: (id, options = {}) =>
      waitFor(options, {
        ended: runEnded,
        look: (wait_s, request) =>
          call<RunDocument>(http, 'GET', `/runs/${segment(id)}`, { ...request, query: { wait_s } }),
      }),
    log: (id, options = {}) =>
      collect(options.limit ?? 1000, async (marker) => {
        const page = await logPage(http, id, marker);
        return { items: page.entries, marker: page.has_next_page ? page.marker : undefined };
      }),
    follow: (id, onEntry, options = {}) => follow(http, id, onEntry, options),
    cancel: (id) => call(http, 'POST', `/runs/${segment(id)}/cancel`),
  };
}
