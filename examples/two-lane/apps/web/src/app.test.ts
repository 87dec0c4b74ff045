import { beforeEach, describe, expect, it, vi } from "vitest";
import { connect } from "./api/client";
import { startApp } from "./app";
import { problem, TestApi } from "./test-api";

const config = { apiUrl: "http://api.test", version: "a".repeat(40), environment: "staging" };

let api: TestApi;
let root: HTMLElement;

beforeEach(() => {
  api = new TestApi();
  root = document.createElement("div");
  document.body.replaceChildren(root);
});

async function start(): Promise<void> {
  await startApp(root, config, connect(config.apiUrl, api.fetch));
}

function one(selector: string): HTMLElement {
  const element = root.querySelector<HTMLElement>(selector);
  if (!element) throw new Error(`no ${selector} in ${root.innerHTML}`);
  return element;
}

function names(): (string | null)[] {
  return [...root.querySelectorAll("li strong")].map((element) => element.textContent);
}

function field(name: "name" | "description"): HTMLInputElement {
  const element = one(`[name=${name}]`);
  if (!(element instanceof HTMLInputElement)) throw new Error(`${name} is not a field`);
  return element;
}

function fill(name: string, description = ""): void {
  field("name").value = name;
  field("description").value = description;
  field("name").form?.requestSubmit();
}

describe("the page", () => {
  it("shows where it runs and both versions", async () => {
    await start();
    expect(one("[data-environment]").textContent).toBe("staging");
    expect(one("[data-web]").textContent).toBe("aaaaaaa");
    expect(one("[data-web]").title).toBe("a".repeat(40));
    expect(one("[data-api]").textContent).toBe("bbbbbbb");
    expect(document.title).toBe("Items · staging");
  });

  it("lists items, and says so when there is none", async () => {
    await start();
    expect(one("[role=status]").textContent).toContain("Nothing here yet");
    api.add("Tea", "green");
    await start();
    expect(names()).toEqual(["Tea"]);
    expect(one("li p").textContent).toBe("green");
    expect(one("[role=status]").textContent).toBe("1 item shown");
  });

  it("shows text from the api as text", async () => {
    api.add("<img src=x onerror=alert(1)>", "<b>bold</b>");
    await start();
    expect(names()).toEqual(["<img src=x onerror=alert(1)>"]);
    expect(root.querySelector("li img, li b")).toBeNull();
  });

  it("adds an item on top and is ready for the next", async () => {
    api.add("Tea");
    await start();
    fill("Coffee", "  black  ");
    await vi.waitFor(() => { expect(names()).toEqual(["Coffee", "Tea"]); });
    expect(api.items[0]).toMatchObject({ name: "Coffee", description: "black" });
    expect(field("name").value).toBe("");
    expect(document.activeElement).toBe(field("name"));
  });

  it("keeps what was typed when the api refuses, and says why", async () => {
    await start();
    api.answers.push(problem(409, "There is already an item named 'Tea'."));
    fill("Tea");
    await vi.waitFor(() => { expect(one("[role=alert]").hidden).toBe(false); });
    expect(one("[role=alert]").textContent).toBe("There is already an item named 'Tea'.");
    expect(field("name").value).toBe("Tea");
    expect(names()).toEqual([]);
    fill("Coffee");
    await vi.waitFor(() => { expect(names()).toEqual(["Coffee"]); });
    expect(one("[role=alert]").hidden).toBe(true);
  });

  it("deletes an item and keeps the keyboard's place", async () => {
    api.add("Tea");
    api.add("Coffee");
    await start();
    one("[aria-label='Delete Coffee']").click();
    await vi.waitFor(() => { expect(names()).toEqual(["Tea"]); });
    expect(api.items.map((item) => item.name)).toEqual(["Tea"]);
    expect(document.activeElement).toBe(one("[aria-label='Delete Tea']"));
  });

  it("takes an item that somebody else deleted for deleted", async () => {
    api.add("Tea");
    await start();
    api.items.length = 0;
    one("[aria-label='Delete Tea']").click();
    await vi.waitFor(() => { expect(names()).toEqual([]); });
    expect(one("[role=alert]").hidden).toBe(true);
  });

  it("shows more when there is more", async () => {
    api.pageSize = 2;
    for (const name of ["1", "2", "3"]) api.add(name);
    await start();
    expect(names()).toEqual(["3", "2"]);
    expect(one(".more").hidden).toBe(false);
    one(".more").click();
    await vi.waitFor(() => { expect(names()).toEqual(["3", "2", "1"]); });
    expect(one(".more").hidden).toBe(true);
    expect(api.requests).toContain("GET /items?before=2");
  });

  it("says when the api is not there", async () => {
    api.answers.push(new TypeError("fetch failed"), new TypeError("fetch failed"));
    await start();
    expect(one("[role=alert]").textContent).toBe("The api cannot be reached. Is it running?");
    expect(one("[data-api]").textContent).toBe("unknown");
  });

  it("says something even when an error is not a problem document", async () => {
    api.answers.push(new Response("<html>Bad gateway</html>", { status: 502 }));
    await start();
    expect(one("[role=alert]").textContent).toBe("The api answered with an error.");
  });

  it("has a label for every field", async () => {
    await start();
    for (const input of root.querySelectorAll("input")) {
      expect(input.closest("label")?.textContent.trim()).not.toBe("");
    }
  });
});
