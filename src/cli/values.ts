// Values as they are typed: JSON, JSON in a file, key=value, durations and numbers.
import { readFile } from 'node:fs/promises';
import { InvalidArgumentError } from 'commander';
import type { Json, JsonObject } from '../sdk/documents.ts';
import { usageError } from './exit.ts';
import type { Io } from './io.ts';
import { parseDuration } from './render/time.ts';

/** A file's text. Throws a usage error when it is not there or not UTF-8. */
export async function readText(path: string): Promise<string> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw usageError(`There is no file ${path}.`);
    if (error.code === 'EISDIR') throw usageError(`${path} is a folder, not a file.`);
    throw error;
  });
  try {
    // The byte order mark that some editors write is not part of the text.
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw usageError(`${path} is not UTF-8 text.`, 'save it as UTF-8');
  }
}

/** JSON text → value; `what` names it in the error. */
export function parseJson(text: string, what: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw usageError(`${what} is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** `JSON`, `@file` or `@-` for standard input → value. */
export async function readJson(io: Io, text: string, what: string): Promise<Json> {
  if (!text.startsWith('@')) return parseJson(text, what);
  if (text === '@-') return parseJson(await io.readInput(), `${what} from standard input`);
  return parseJson(await readText(text.slice(1)), text.slice(1));
}

export function isJsonObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The same, for what must be an object. */
export async function readJsonObject(io: Io, text: string, what: string): Promise<JsonObject> {
  const value = await readJson(io, text, what);
  if (isJsonObject(value)) return value;
  throw usageError(`${what} must be a JSON object, like {"name": "value"}.`);
}

/** `k=v` → [k, v]: v is read as JSON where it is JSON, and is text otherwise. */
export function parseKeyValue(text: string): [string, Json] {
  const at = text.indexOf('=');
  if (at <= 0) throw usageError(`"${text}" is not of the form name=value.`);
  const value = text.slice(at + 1);
  try {
    return [text.slice(0, at), JSON.parse(value) as Json];
  } catch {
    return [text.slice(0, at), value];
  }
}

/** Collects an option that may be given several times. */
export function collectText(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

/** For commander: a duration → seconds. */
export function durationOption(text: string): number {
  const span_s = parseDuration(text);
  if (span_s === undefined) throw new InvalidArgumentError('give a duration such as 30s, 5m, 2h or 30d.');
  return span_s;
}

/** For commander: a whole number from 1. */
export function countOption(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('give a whole number from 1.');
  return Number(text);
}

/** For commander: a whole number from 0. */
export function wholeOption(text: string): number {
  return text === '0' ? 0 : countOption(text);
}
