// `pilotwave settings`: the variables of the environment that `up`, `serve` and `demo` read, and what they are now.
import type { Cli } from '../cli.ts';
import type { Context } from '../context.ts';
import { SETTINGS, type Setting } from '../stack/settings.ts';

/** Keys are not for screens. */
function shown(setting: Setting, value: string | undefined): string {
  if (value === undefined || value === '') return '';
  return setting.name.endsWith('_KEY') ? '(set)' : value.replace(/(\/\/[^:/@]*:)[^@]*@/, '$1…@');
}

async function list(context: Context): Promise<void> {
  const rows = Object.values(SETTINGS).map((setting: Setting) => ({
    name: setting.name,
    value: shown(setting, context.io.env[setting.name]),
    otherwise: setting.otherwise,
    about: setting.about,
  }));
  context.out.list(
    rows,
    [
      { title: 'variable', value: (row) => row.name },
      { title: 'set to', value: (row) => row.value },
      { title: 'default', value: (row) => row.otherwise },
      { title: 'meaning', value: (row) => row.about, flexible: true },
    ],
    '',
  );
}

export function settingsCommand(cli: Cli): void {
  cli.program
    .command('settings')
    .description('variables of the environment that the servers read')
    .action(cli.run(list));
}
