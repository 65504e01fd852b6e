// Results on disk: what was put away is there after a restart, whatever was acknowledged is not, and a full disk
// loses nothing.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ResultSpool } from '../../../src/endpoint/manager/result-spool.ts';
import { encodeMessage } from '../../../src/protocol/codec.ts';
import { encodeSlab, systemResult } from '../../../src/protocol/slab.ts';

const CHUNK = '0f1e2d3c-4b5a-8978-8695-a4b3c2d10000';

function message(seq: number, size = 10): Buffer[] {
  const slab = encodeSlab([systemResult(seq % 128, 1, 'system_failure', 'X', 'x'.repeat(size), 0)]);
  const slabs = [{ chunk: CHUNK, epoch: 1, worker: '', bytes: slab.length }];
  return encodeMessage({ kind: 'tasks.results', seq, workers: {}, slabs }, [slab]);
}

describe('result spool', () => {
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'pilotwave-spool-'));
  });

  afterEach(() => {
    rmSync(dir, { recursive: true, force: true });
  });

  const files = (): string[] => readdirSync(dir).map((name) => join(dir, name));
  const seqs = (spool: ResultSpool): number[] => spool.messages().map(({ seq }) => seq);

  it('gives back after a restart what was not acknowledged, byte for byte', () => {
    const first = new ResultSpool(dir);
    for (let seq = 1; seq <= 5; seq++) first.append(seq, message(seq));
    first.remove(2);
    first.remove(4);
    first.close();
    const second = new ResultSpool(dir);
    assert.deepEqual(
      second.messages(),
      [1, 3, 5].map((seq) => ({ seq, refs: [{ chunk: CHUNK, epoch: 1, indexes: [seq] }] })),
    );
    assert.deepEqual(second.read(3), message(3));
    assert.equal(second.read(2), null);
    second.close();
  });

  it('behaves like a map through any appends, removals and restarts', () => {
    const command = fc.oneof(
      { weight: 5, arbitrary: fc.constant('append' as const) },
      { weight: 4, arbitrary: fc.nat(20) },
      { weight: 1, arbitrary: fc.constant('restart' as const) },
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 120 }), (commands) => {
        const home = mkdtempSync(join(dir, 'run-'));
        const limits = { segment_bytes: 1_000, total_bytes: 1_000_000 };
        let spool = new ResultSpool(home, limits);
        const model = new Set<number>();
        let next = 1;
        for (const what of commands) {
          if (what === 'append') {
            spool.append(next, message(next));
            model.add(next++);
          } else if (what === 'restart') {
            spool.close();
            spool = new ResultSpool(home, limits);
          } else {
            const seq = [...model][what % Math.max(1, model.size)];
            if (seq === undefined) continue;
            spool.remove(seq);
            model.delete(seq);
          }
        }
        assert.deepEqual(seqs(spool), [...model]);
        for (const seq of model) assert.deepEqual(spool.read(seq), message(seq));
        spool.close();
      }),
      { numRuns: 40 },
    );
  });

  it('forgets a record that was half written when the manager was killed, and goes on after it', () => {
    const first = new ResultSpool(dir);
    first.append(1, message(1));
    first.append(2, message(2));
    first.close();
    const [file = ''] = files();
    truncateSync(file, statSync(file).size - 3);
    const second = new ResultSpool(dir);
    assert.deepEqual(seqs(second), [1]);
    second.append(3, message(3));
    second.close();
    const third = new ResultSpool(dir);
    assert.deepEqual(seqs(third), [1, 3]);
    third.close();
  });

  it('drops what is no message of ours', () => {
    const first = new ResultSpool(dir);
    first.append(1, [Buffer.from('not json'), Buffer.alloc(3)]);
    first.append(2, message(2));
    first.close();
    appendFileSync(files()[0] ?? '', Buffer.alloc(100, 0xee));
    const second = new ResultSpool(dir);
    assert.deepEqual(seqs(second), [2]);
    second.close();
  });

  it('gives disk space back', () => {
    const spool = new ResultSpool(dir, { segment_bytes: 4_000, total_bytes: 1_000_000 });
    for (let seq = 1; seq <= 100; seq++) spool.append(seq, message(seq, 500));
    assert.ok(files().length > 5);
    for (let seq = 1; seq <= 100; seq++) spool.remove(seq);
    assert.ok(files().length <= 2);
    assert.ok(spool.bytes < 8_000, `${spool.bytes} bytes are left`);
    spool.close();
  });

  it('says that it is full, and that it is not any more', () => {
    const spool = new ResultSpool(dir, { segment_bytes: 1_000, total_bytes: 3_000 });
    for (let seq = 1; seq <= 5; seq++) spool.append(seq, message(seq, 800));
    assert.match(spool.trouble ?? '', /results wait for the service/);
    assert.deepEqual(seqs(spool), [1, 2, 3, 4, 5]);
    for (let seq = 1; seq <= 5; seq++) spool.remove(seq);
    spool.retry();
    assert.equal(spool.trouble, null);
    spool.close();
  });

  it('keeps in memory what the disk does not take, and writes it later', () => {
    const spool = new ResultSpool(dir);
    rmSync(dir, { recursive: true, force: true });
    spool.append(1, message(1));
    spool.append(2, message(2));
    assert.match(spool.trouble ?? '', /ENOENT/);
    assert.deepEqual(spool.read(1), message(1));
    const again = new ResultSpool(dir);
    again.close();
    spool.retry();
    assert.equal(spool.trouble, null);
    spool.close();
    const next = new ResultSpool(dir);
    assert.deepEqual(seqs(next), [1, 2]);
    next.close();
  });
});
