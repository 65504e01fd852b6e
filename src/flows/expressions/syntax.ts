// The words of the expression language: a subset of Python expressions, as the flow language's `.=` keys hold
// them. Expressions are parsed once when a flow is checked and evaluated by evaluate.ts; nothing is ever handed
// to the host language's own evaluator.
import type { ReferencePath } from '../paths.ts';

/** Bounds of one expression: its text, how deep it nests, and how much work one evaluation may do. */
export const LIMITS = { text: 8_192, depth: 120, nesting: 50, work: 1_000_000 } as const;

export type UnaryOperator = '-' | '+';
export type BinaryOperator = '+' | '-' | '*' | '/' | '//' | '%' | '**';
export type Comparison = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in' | 'is' | 'is not';

/** `for a, b in source if test …` of a comprehension. */
export interface Clause {
  readonly targets: readonly string[];
  readonly source: Expr;
  readonly conditions: readonly Expr[];
}

export type Expr =
  | { readonly kind: 'constant'; readonly value: null | boolean | string }
  | { readonly kind: 'number'; readonly value: number; readonly float: boolean }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'path'; readonly path: ReferencePath }
  | { readonly kind: 'attribute'; readonly of: Expr; readonly name: string }
  | { readonly kind: 'index'; readonly of: Expr; readonly index: Expr }
  | {
      readonly kind: 'slice';
      readonly of: Expr;
      readonly start: Expr | null;
      readonly stop: Expr | null;
      readonly step: Expr | null;
    }
  | {
      readonly kind: 'call';
      /** null: a function of the language; else the object whose method it is. */
      readonly of: Expr | null;
      readonly name: string;
      readonly args: readonly Expr[];
      readonly named: readonly (readonly [string, Expr])[];
    }
  | { readonly kind: 'list'; readonly items: readonly Expr[] }
  | { readonly kind: 'dict'; readonly entries: readonly (readonly [Expr, Expr])[] }
  | { readonly kind: 'unary'; readonly operator: UnaryOperator; readonly of: Expr }
  | { readonly kind: 'binary'; readonly operator: BinaryOperator; readonly left: Expr; readonly right: Expr }
  | {
      readonly kind: 'compare';
      readonly first: Expr;
      readonly rest: readonly { readonly operator: Comparison; readonly right: Expr }[];
    }
  | { readonly kind: 'and' | 'or'; readonly items: readonly Expr[] }
  | { readonly kind: 'not'; readonly of: Expr }
  | { readonly kind: 'if'; readonly test: Expr; readonly then: Expr; readonly otherwise: Expr }
  | { readonly kind: 'comprehension'; readonly element: Expr; readonly clauses: readonly Clause[] };

/** What is wrong with an expression, or with evaluating it; the message is for the flow's author. */
export class ExpressionError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ExpressionError';
  }
}
