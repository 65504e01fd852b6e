// A limit on how long somebody else's work is waited for.
import { Fault } from '../../errors.ts';

/** The answer of `work`, or a Fault that may pass when there is none after `limit_ms`. The work is not stopped. */
export async function within<T>(limit_ms: number, work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Fault('wait_timeout', `${what} within ${limit_ms / 1000} s.`)),
      limit_ms,
    );
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}
