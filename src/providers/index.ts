// Every action provider of this service: one line each.
import { compute } from './compute.ts';
import type { ActionProvider } from './contract.ts';
import { helloWorld } from './hello-world.ts';

export const PROVIDERS: readonly ActionProvider[] = [compute, helloWorld];
