// THE option table: every setting of the servers, its environment variable, default and meaning. Nothing else
// reads the environment for them. `pilotwave help settings` and docs/settings.md are made from it.
import { CliError, EXIT } from '../exit.ts';

export interface Setting {
  readonly name: string;
  readonly otherwise: string;
  readonly about: string;
  /** Throws Error when the value cannot be used. */
  readonly check?: (value: string) => void;
}

function url(...protocols: readonly string[]): (value: string) => void {
  return (value) => {
    if (value !== '' && (!URL.canParse(value) || !protocols.includes(new URL(value).protocol))) {
      throw new Error(
        `it must be an address that begins with ${protocols.map((name) => `${name}//`).join(' or ')}`,
      );
    }
  };
}

function oneOf(...values: readonly string[]): (value: string) => void {
  return (value) => {
    if (!values.includes(value)) throw new Error(`it must be one of: ${values.join(', ')}`);
  };
}

function count(min: number, max: number): (value: string) => void {
  return (value) => {
    const number = Number(value);
    if (!Number.isInteger(number) || number < min || number > max) {
      throw new Error(`it must be a whole number from ${min} to ${max}`);
    }
  };
}

export const SETTINGS = {
  database_url: {
    name: 'DATABASE_URL',
    otherwise: '',
    about: 'PostgreSQL to use (14 or later). Empty: `up` runs one of its own under the home.',
    check: url('postgres:', 'postgresql:'),
  },
  redis_url: {
    name: 'REDIS_URL',
    otherwise: '',
    about: 'Redis to carry deliveries. Empty: PostgreSQL carries them.',
    check: url('redis:', 'rediss:'),
  },
  host: { name: 'PILOTWAVE_HOST', otherwise: '127.0.0.1', about: 'Address the HTTP service listens on.' },
  public_url: {
    name: 'PILOTWAVE_PUBLIC_URL',
    otherwise: '',
    about: 'Address at which others reach the service, e.g. behind a proxy. Empty: where it listens.',
    check: url('http:', 'https:'),
  },
  link_bind: {
    name: 'PILOTWAVE_LINK_BIND',
    otherwise: 'tcp://127.0.0.1:*',
    about: 'Where endpoints dial (ZeroMQ). `*` picks a free port.',
    check: (value) => {
      if (!/^tcp:\/\/.+:(\d+|\*)$/.test(value))
        throw new Error('it must be tcp://ADDRESS:PORT, or * for the port');
    },
  },
  direct: {
    name: 'PILOTWAVE_DIRECT',
    otherwise: 'on',
    about: 'off: every delivery goes through the queue, also when nothing waits before it.',
    check: oneOf('on', 'off'),
  },
  workers: {
    name: 'PILOTWAVE_WORKERS',
    otherwise: '0',
    about: 'Python workers of the endpoint that `up` runs. 0: one a core.',
    check: count(0, 1024),
  },
  python: { name: 'PILOTWAVE_PYTHON', otherwise: 'python3', about: 'Python that `up` gives its workers.' },
  log_level: {
    name: 'PILOTWAVE_LOG_LEVEL',
    otherwise: 'info',
    about: 'Least severe log line that is written.',
    check: oneOf('debug', 'info', 'warn', 'error'),
  },
  secret_key: {
    name: 'PILOTWAVE_SECRET_KEY',
    otherwise: '',
    about:
      'For `serve`: 64 hexadecimal digits that seal what users entrust to triggers; the same for all services of a ' +
      'database. `up` makes its own. Empty: triggers with a signing secret are refused.',
    check: (value) => {
      if (value !== '' && !/^[0-9a-f]{64}$/i.test(value)) throw new Error('it must be 64 hexadecimal digits');
    },
  },
  watch_roots: {
    name: 'PILOTWAVE_WATCH_ROOTS',
    otherwise: '',
    about: 'Folders below which file triggers may watch, separated by colons. Empty: anywhere it can read.',
  },
} as const satisfies Record<string, Setting>;

export type Settings = { readonly [Key in keyof typeof SETTINGS]: string };

/** Every setting's value, checked; throws CliError bad_config that names the variable, what is wrong and what it takes. */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const entries = Object.entries(SETTINGS).map(([key, setting]: [string, Setting]) => {
    const value = env[setting.name] ?? setting.otherwise;
    try {
      setting.check?.(value);
    } catch (error) {
      throw new CliError(EXIT.bad_config, `${setting.name} cannot be used: ${(error as Error).message}.`, {
        why: setting.about,
      });
    }
    return [key, value];
  });
  return Object.fromEntries(entries) as Settings;
}
