import createClient from "openapi-fetch";
import type { components, paths } from "./generated";

export type Item = components["schemas"]["ItemRead"];
export type ItemPage = components["schemas"]["ItemPage"];
export type NewItem = components["schemas"]["ItemCreate"];
type Problem = components["schemas"]["Problem"];

/** The api said no, or could not be reached; the message is for people. */
export class ApiError extends Error {
  override readonly name = "ApiError";
}

/** What the page needs of the api, in its own words. Every method rejects with ApiError. */
export interface Items {
  list(before?: number): Promise<ItemPage>;
  add(item: NewItem): Promise<Item>;
  remove(id: number): Promise<void>;
  /** The commit that the api was built from. */
  version(): Promise<string>;
}

export function connect(apiUrl: string, send: typeof fetch = fetch): Items {
  const client = createClient<paths>({
    baseUrl: apiUrl,
    fetch: async (request) => {
      try {
        return await send(request);
      } catch (cause) {
        throw new ApiError("The api cannot be reached. Is it running?", { cause });
      }
    },
  });

  return {
    async list(before) {
      const query = before === undefined ? {} : { before };
      const { data, error } = await client.GET("/items", { params: { query } });
      return data ?? refuse(error);
    },
    async add(item) {
      const { data, error } = await client.POST("/items", { body: item });
      return data ?? refuse(error);
    },
    async remove(id) {
      const { error, response } = await client.DELETE("/items/{item_id}", {
        params: { path: { item_id: id } },
      });
      // Somebody else removed it first: it is gone, which is what was asked for.
      if (!response.ok && response.status !== 404) refuse(error);
    },
    async version() {
      const { data, error } = await client.GET("/health/live");
      return data?.version ?? refuse(error);
    },
  };
}

function refuse(error: unknown): never {
  throw new ApiError(isProblem(error) ? error.detail : "The api answered with an error.");
}

function isProblem(error: unknown): error is Problem {
  return typeof error === "object" && error !== null && "detail" in error;
}
