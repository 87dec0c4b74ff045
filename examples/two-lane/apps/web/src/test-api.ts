import type { Item, NewItem } from "./api/client";

/** An api of a few lines that speaks HTTP, typed by the generated client, to test the page on. */
export class TestApi {
  readonly items: Item[] = [];
  readonly requests: string[] = [];
  /** Answers for the next requests, before the usual ones. */
  readonly answers: (Response | Error)[] = [];
  pageSize = 20;
  private id = 0;

  add(name: string, description: string | null = null): Item {
    const now = new Date(Date.UTC(2026, 0, 1)).toISOString();
    this.id += 1;
    const item = { id: this.id, name, description, created_at: now, updated_at: now };
    this.items.unshift(item);
    return item;
  }

  readonly fetch: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    const url = new URL(request.url);
    this.requests.push(`${request.method} ${url.pathname}${url.search}`);
    const prepared = this.answers.shift();
    if (prepared instanceof Error) throw prepared;
    if (prepared) return prepared;
    return await this.answer(request, url);
  };

  private async answer(request: Request, url: URL): Promise<Response> {
    const [, resource, id] = url.pathname.split("/");
    if (resource === "health") return Response.json({ status: "live", version: "b".repeat(40) });
    if (request.method === "GET") return Response.json(this.page(url));
    if (request.method === "POST") {
      const body = (await request.json()) as NewItem;
      return Response.json(this.add(body.name, body.description), { status: 201 });
    }
    const at = this.items.findIndex((item) => item.id === Number(id));
    if (at < 0) return problem(404, `There is no item ${String(id)}.`);
    this.items.splice(at, 1);
    return new Response(null, { status: 204, headers: { "Content-Length": "0" } });
  }

  private page(url: URL): { items: Item[]; next_before: number | null } {
    const before = Number(url.searchParams.get("before") ?? Infinity);
    const older = this.items.filter((item) => item.id < before);
    const items = older.slice(0, this.pageSize);
    return { items, next_before: older.length > items.length ? (items.at(-1)?.id ?? null) : null };
  }
}

export function problem(status: number, detail: string): Response {
  const body = JSON.stringify({ type: "about:blank", title: "No", status, detail, errors: [] });
  return new Response(body, { status, headers: { "Content-Type": "application/problem+json" } });
}
