// Roles: what each may do, and that what somebody may not see does not exist for them.
import assert from 'node:assert/strict';
import { flowRoles, mayFlow, mayRun, needFlow, needRun, runRoles } from '../../../src/flows/access.ts';
import type { Fault } from '../../../src/errors.ts';
import { identityUrn } from '../../../src/ids.ts';

const ME = '11111111-1111-4111-8111-111111111111';
const OTHER = '22222222-2222-4222-8222-222222222222';
const GROUP = 'urn:globus:groups:id:33333333-3333-4333-8333-333333333333';
const me = { identity: ME, urn: identityUrn(ME), groups: [GROUP] };

const flow = {
  id: 'f',
  owner: OTHER,
  viewers: [],
  starters: [],
  administrators: [],
  run_managers: [],
  run_monitors: [],
};
const run = {
  id: 'r',
  owner: OTHER,
  run_managers: [],
  run_monitors: [],
  flow_owner: OTHER,
  flow_administrators: [],
  flow_run_managers: [],
  flow_run_monitors: [],
};
const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'allowed';
  } catch (error) {
    return (error as Fault).code;
  }
};

describe('access to flows', () => {
  const rows = [
    [{ owner: ME }, 'allowed', 'allowed', 'allowed'],
    [{ administrators: [me.urn] }, 'allowed', 'allowed', 'allowed'],
    [{ starters: [GROUP] }, 'allowed', 'allowed', 'forbidden'],
    [{ starters: ['all_authenticated_users'] }, 'allowed', 'allowed', 'forbidden'],
    [{ viewers: ['public'] }, 'allowed', 'forbidden', 'forbidden'],
    [{ run_managers: [me.urn] }, 'flow_not_found', 'flow_not_found', 'flow_not_found'],
    [{}, 'flow_not_found', 'flow_not_found', 'flow_not_found'],
    // The words for everybody count in their own list only.
    [{ starters: ['public'] }, 'flow_not_found', 'flow_not_found', 'flow_not_found'],
    [{ administrators: ['all_authenticated_users'] }, 'flow_not_found', 'flow_not_found', 'flow_not_found'],
  ] as const;
  for (const [lists, view, start, administer] of rows) {
    it(JSON.stringify(lists), () => {
      const given = { ...flow, ...lists };
      assert.deepEqual(
        (['view', 'run', 'administer'] as const).map((verb) => codeOf(() => needFlow(given, me, verb))),
        [view, start, administer],
      );
      assert.equal(mayFlow(flowRoles(given, me), 'view'), view === 'allowed');
    });
  }
});

describe('access to runs', () => {
  const rows = [
    [{ owner: ME }, 'allowed', 'allowed', 'allowed'],
    [{ run_managers: [GROUP] }, 'allowed', 'allowed', 'allowed'],
    [{ flow_owner: ME }, 'allowed', 'allowed', 'forbidden'],
    [{ flow_administrators: [me.urn] }, 'allowed', 'allowed', 'forbidden'],
    [{ flow_run_managers: [me.urn] }, 'allowed', 'allowed', 'forbidden'],
    [{ run_monitors: [me.urn] }, 'allowed', 'forbidden', 'forbidden'],
    [{ flow_run_monitors: [GROUP] }, 'allowed', 'forbidden', 'forbidden'],
    [{}, 'run_not_found', 'run_not_found', 'run_not_found'],
    [
      { run_monitors: ['public', 'all_authenticated_users'] },
      'run_not_found',
      'run_not_found',
      'run_not_found',
    ],
  ] as const;
  for (const [lists, monitor, manage, resume] of rows) {
    it(JSON.stringify(lists), () => {
      const given = { ...run, ...lists };
      assert.deepEqual(
        (['monitor', 'manage', 'resume'] as const).map((verb) => codeOf(() => needRun(given, me, verb))),
        [monitor, manage, resume],
      );
      assert.equal(mayRun(runRoles(given, me), 'monitor'), monitor === 'allowed');
    });
  }
});
