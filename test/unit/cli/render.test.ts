import assert from 'node:assert/strict';
import fc from 'fast-check';
import { renderFields, renderTable } from '../../../src/cli/render/table.ts';
import { plain, plainLines, shorten } from '../../../src/cli/render/text.ts';
import { ago, duration, parseDuration, stamp } from '../../../src/cli/render/time.ts';

const NOW = Date.UTC(2026, 5, 2, 12);
const asIs = (text: string): string => text;

describe('cli: times', () => {
  it('are said as people say them', () => {
    assert.equal(ago(NOW, NOW), 'now');
    assert.equal(ago(NOW - 12_345, NOW), '12 s ago');
    assert.equal(ago(NOW - 2 * 60_000 - 29_000, NOW), '2 min ago');
    assert.equal(ago(NOW - 3 * 3_600_000, NOW), '3 h ago');
    assert.equal(ago(NOW - 40 * 86_400_000, NOW), '40 d ago');
    assert.equal(ago(NOW + 5 * 60_000, NOW), 'in 5 min');
    assert.equal(ago(NOW + 30 * 86_400_000 - 2000, NOW), 'in 30 d');
    assert.equal(ago(NOW - 59_600, NOW), '1 min ago');
  });

  it('have an absolute form with a zone', () => {
    assert.equal(stamp(NOW, true), '2026-06-02 12:00:00 UTC');
    assert.match(stamp(NOW, false), /^2026-06-0[23] \d\d:\d\d:00 [+-]\d\d:\d\d$/);
    assert.equal(Date.parse(stamp(NOW, false).replace(' ', 'T').replace(' ', '')), NOW);
  });

  it('durations have at most two units', () => {
    const said = [0, 0.0004, 0.0451, 1.25, 59.99, 60, 200, 3600, 7500, 86_400, 273_600].map(duration);
    assert.deepEqual(said, [
      '0 ms',
      '<1 ms',
      '45 ms',
      '1.2 s',
      '59.9 s',
      '1 min',
      '3 min 20 s',
      '1 h',
      '2 h 5 min',
      '1 d',
      '3 d 4 h',
    ]);
    assert.equal(duration(-3), '0 ms');
  });

  it('durations are read with and without a unit', () => {
    const read = ['30', '500ms', '3s', '1.5 min', '5m', '2h', '30d'].map(parseDuration);
    assert.deepEqual(read, [30, 0.5, 3, 90, 300, 7200, 2_592_000]);
    for (const text of ['', 'x', '-1s', '3 weeks', '1e3', 's'])
      assert.equal(parseDuration(text), undefined, text);
  });
});

describe('cli: tables', () => {
  const columns = [
    { title: 'id', value: (row: { id: string; note: string }) => row.id },
    { title: 'note', value: (row: { id: string; note: string }) => row.note, flexible: true },
  ];

  it('align without frames and without spaces at line ends', () => {
    const text = renderTable(
      columns,
      [
        { id: 'a', note: 'x' },
        { id: 'longer', note: '' },
      ],
      { width: null, paintTitle: asIs },
    );
    assert.equal(text, 'ID      NOTE\na       x\nlonger\n');
  });

  it('fit the terminal: the flexible column gives way', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 30, max: 120 }),
        fc.string({ maxLength: 200, unit: 'grapheme-ascii' }),
        (width, note) => {
          const text = renderTable(columns, [{ id: '0123456789', note }], { width, paintTitle: asIs });
          for (const line of text.split('\n')) assert.ok(line.length <= width, `${line.length} > ${width}`);
          assert.ok(text.includes('0123456789'));
        },
      ),
    );
  });

  it('keep a hostile name on its line', () => {
    const evil = '\u001b[2Jgone\nrow\u202etxt';
    const text = renderTable(columns, [{ id: 'a', note: evil }], { width: null, paintTitle: asIs });
    assert.equal(text, 'ID  NOTE\na   [2Jgone row txt\n');
    assert.equal(renderFields([['name', evil]], asIs), 'name  [2Jgone row txt\n');
  });

  it('fields leave out what is not there', () => {
    assert.equal(
      renderFields(
        [
          ['id', 'x'],
          ['none', null],
          ['empty', ''],
          ['zero', 0],
          ['longest', false],
        ],
        asIs,
      ),
      'id       x\nzero     0\nlongest  false\n',
    );
  });
});

describe('cli: text from elsewhere', () => {
  it('loses its control characters, and nothing else', () => {
    assert.equal(plain(' a\r\nb\u0000c\u009b1m '), 'a b c 1m');
    assert.equal(plain('größe 😀 مرحبا'), 'größe 😀 مرحبا');
    assert.equal(plainLines('a\tb\u001b[31m\nc'), 'a\tb [31m\nc');
    assert.equal(plainLines('a\r\nb'), 'a \nb');
  });

  it('is cut by characters', () => {
    assert.equal(shorten('😀😀😀', 3), '😀😀😀');
    assert.equal(shorten('😀😀😀😀', 3), '😀😀…');
  });
});
