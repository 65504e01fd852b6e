// What a manager is started with and what its starter gets back.
import type { Chance, Clock } from '../../clock.ts';
import type { Logger } from '../../log.ts';
import type { EndpointStatus } from '../../protocol/messages.ts';
import type { KeyPair } from '../../transport/link.ts';
import type { SchedulerName } from '../schedulers/index.ts';

export interface ManagerRunOptions {
  /** The endpoint's folder; everything a manager keeps is in it. */
  readonly dir: string;
  readonly endpoint_id: string;
  readonly link: {
    readonly address: string;
    readonly server_key: string;
    readonly keys: KeyPair;
    readonly secret: string;
  };
  /** Python workers of each executor; default: one per core. */
  readonly workers_per_node?: number;
  /** Python to run workers with. */
  readonly python: string;
  readonly scheduler?: SchedulerName;
  /** Blocks to keep running, and to run at most; 1 and 1 by default. */
  readonly min_blocks?: number;
  readonly max_blocks?: number;
  /** Lines of shell run before an executor. */
  readonly worker_init?: string;
  /** Address that executors dial; loopback by default, since blocks are local. */
  readonly bind?: string;
  /** Folder where tasks start; `tasks` in the endpoint's folder by default. */
  readonly task_dir?: string;
  readonly executor_heartbeat_ms?: number;
  /** Seconds of the manager's silence after which an executor ends itself. */
  readonly executor_silence_s?: number;
  readonly log: Logger;
  readonly chance: Chance;
  readonly clock: Clock;
  /** Told whenever the status changes; at most four times a second. */
  readonly onStatus?: (status: EndpointStatus) => void;
}

export interface ManagerHandle {
  /** Ends blocks and workers, says bye. Resolves when nothing is left running; at most about ten seconds. */
  stop(why?: string): Promise<void>;
  /** Resolves when the manager is over: code 0 after `stop`, 78 when the service will never take this endpoint. */
  readonly finished: Promise<{ readonly code: number; readonly reason: string }>;
  readonly status: () => EndpointStatus;
}
