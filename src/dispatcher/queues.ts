// The delivery queue: BullMQ on Redis when there is a REDIS_URL, else on PostgreSQL. One queue a service; a job
// carries the ids of chunks for one endpoint whose link this service holds. It ends when the manager has taken
// them, never later. A lost job costs latency only: the reconciler finds chunks that stay queued.
import { Queue, Worker, createPostgresBackend } from 'bullmq';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';

export interface Delivery {
  readonly endpoint_id: string;
  readonly chunks: readonly string[];
}

/** Chunks in one job at most: with 100 tasks a chunk, a job's own cost disappears among its tasks. */
export const DELIVERY_CHUNKS = 16;
/** Jobs worked on at once by one service. */
const CONCURRENCY = 16;
const ATTEMPTS = 5;
const BACKOFF_MS = 500;

export interface DeliveryQueue {
  /** Queues deliveries for a service (this one or another). */
  add(serviceId: string, deliveries: readonly Delivery[]): Promise<void>;
  /** Starts working on this service's queue. A throw puts the job back, a few times. */
  work(deliver: (delivery: Delivery) => Promise<void>): void;
  /** Removes what a dead service left behind. */
  sweep(serviceId: string): Promise<void>;
  close(): Promise<void>;
}

export interface QueueOptions {
  readonly service_id: string;
  readonly database_url: string;
  readonly redis_url: string | undefined;
  readonly log: Logger;
}

const queueName = (serviceId: string): string => `deliveries-${serviceId}`;

/** Which store carries the deliveries. */
export function queueBackend(redisUrl: string | undefined): 'redis' | 'postgresql' {
  return redisUrl === undefined ? 'postgresql' : 'redis';
}

export function openDeliveryQueue(options: QueueOptions): DeliveryQueue {
  const { log } = options;
  const onRedis = options.redis_url !== undefined;
  const connection = onRedis
    ? redisConnection(options.redis_url)
    : { connectionString: options.database_url, max: 6, migrate: true };
  const factory = onRedis ? undefined : createPostgresBackend;
  const queues = new Map<string, Queue<Delivery>>();
  let worker: Worker<Delivery> | null = null;

  const openQueue = (serviceId: string): Queue<Delivery> => {
    const known = queues.get(serviceId);
    if (known !== undefined) return known;
    // BullMQ types the connection for Redis only; on the other backend it is a pool configuration.
    const queue = new Queue<Delivery>(queueName(serviceId), { connection: connection }, factory as never);
    queue.on('error', (error) => log.warn({ err: error }, 'the delivery queue has trouble'));
    queues.set(serviceId, queue);
    return queue;
  };

  return {
    async add(serviceId, deliveries) {
      await openQueue(serviceId).addBulk(
        deliveries.map((delivery) => ({
          name: 'deliver',
          data: delivery,
          opts: {
            removeOnComplete: true,
            removeOnFail: true,
            attempts: ATTEMPTS,
            backoff: { type: 'exponential', delay: BACKOFF_MS },
          },
        })),
      );
    },
    work(deliver) {
      worker = new Worker<Delivery>(
        queueName(options.service_id),
        async (job) => deliver(job.data),
        { connection: connection, concurrency: CONCURRENCY, ...(onRedis ? {} : { drainDelay: 1 }) },
        factory as never,
      );
      worker.on('error', (error) => log.warn({ err: error }, 'the delivery worker has trouble'));
      worker.on('failed', (job, error) => {
        log.info(
          { endpoint_id: job?.data.endpoint_id, why: messageOf(error) },
          'a delivery is tried again later',
        );
      });
    },
    async sweep(serviceId) {
      await openQueue(serviceId).obliterate({ force: true });
      await queues.get(serviceId)?.close();
      queues.delete(serviceId);
    },
    async close() {
      await worker?.close(true);
      for (const queue of queues.values()) await queue.close();
    },
  };
}

function redisConnection(url: string | undefined): object {
  return { url, maxRetriesPerRequest: null, enableOfflineQueue: true };
}
