import type { Item, Items } from "./api/client";
import type { Config } from "./config";

/** Builds the page inside `root` and loads the first items; resolves when they are shown. */
export async function startApp(root: HTMLElement, config: Config, api: Items): Promise<void> {
  document.title = `Items · ${config.environment}`;
  root.innerHTML = `
    <header>
      <h1>Items</h1>
      <p class="release">
        <span class="badge" data-environment></span>
        <span>web <code data-web></code></span>
        <span>api <code data-api>…</code></span>
      </p>
    </header>
    <main>
      <form aria-labelledby="new-item">
        <h2 id="new-item">Add an item</h2>
        <label>Name <input name="name" required maxlength="200" autocomplete="off" /></label>
        <label>Description <input name="description" maxlength="2000" autocomplete="off" /></label>
        <button type="submit">Add</button>
      </form>
      <p class="error" role="alert" hidden></p>
      <p class="quiet" role="status"></p>
      <ul aria-label="Items"></ul>
      <button type="button" class="more" hidden>Show more</button>
    </main>`;

  const form = find(root, "form", HTMLFormElement);
  const name = find(form, "[name=name]", HTMLInputElement);
  const description = find(form, "[name=description]", HTMLInputElement);
  const submit = find(form, "button", HTMLButtonElement);
  const alert = find(root, "[role=alert]", HTMLElement);
  const status = find(root, "[role=status]", HTMLElement);
  const list = find(root, "ul", HTMLUListElement);
  const more = find(root, ".more", HTMLButtonElement);
  let next: number | null = null;

  find(root, "[data-environment]", HTMLElement).textContent = config.environment;
  showVersion(find(root, "[data-web]", HTMLElement), config.version);

  /** Runs one action; says what went wrong; returns whether it worked. */
  async function attempt(button: HTMLButtonElement | null, action: () => Promise<void>): Promise<boolean> {
    alert.hidden = true;
    if (button) button.disabled = true;
    try {
      await action();
      return true;
    } catch (error) {
      alert.textContent = error instanceof Error ? error.message : String(error);
      alert.hidden = false;
      return false;
    } finally {
      if (button) button.disabled = false;
    }
  }

  function count(): void {
    const shown = list.children.length;
    if (shown === 0) status.textContent = "Nothing here yet. Add the first item.";
    else status.textContent = `${String(shown)} ${shown === 1 ? "item" : "items"} shown`;
  }

  async function load(): Promise<void> {
    const page = await api.list(next ?? undefined);
    list.append(...page.items.map(row));
    next = page.next_before;
    more.hidden = next === null;
    count();
  }

  function row(item: Item): HTMLLIElement {
    const element = document.createElement("li");
    const text = document.createElement("div");
    const title = document.createElement("strong");
    title.textContent = item.name;
    const note = document.createElement("p");
    note.textContent = item.description ?? "";
    const time = document.createElement("time");
    time.dateTime = item.created_at;
    time.textContent = new Date(item.created_at).toLocaleString();
    text.append(title, note, time);
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "remove";
    remove.textContent = "Delete";
    remove.setAttribute("aria-label", `Delete ${item.name}`);
    remove.addEventListener("click", () => {
      void attempt(remove, async () => {
        await api.remove(item.id);
        // The focused button goes away; a keyboard user must not be thrown back to the top.
        const neighbour = element.nextElementSibling ?? element.previousElementSibling;
        element.remove();
        (neighbour?.querySelector<HTMLElement>(".remove") ?? name).focus();
        count();
      });
    });
    element.append(text, remove);
    return element;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void attempt(submit, async () => {
      const note = description.value.trim();
      const item = await api.add({ name: name.value, description: note === "" ? null : note });
      list.prepend(row(item));
      form.reset();
      name.focus();
      count();
    });
  });

  more.addEventListener("click", () => {
    void attempt(more, load);
  });

  status.textContent = "Loading…";
  const loaded = attempt(null, load).then((worked) => {
    if (!worked) status.textContent = "";
  });
  const apiVersion = find(root, "[data-api]", HTMLElement);
  const version = api.version().then(
    (sha) => { showVersion(apiVersion, sha); },
    () => { apiVersion.textContent = "unknown"; },
  );
  await Promise.all([loaded, version]);
}

function showVersion(element: HTMLElement, sha: string): void {
  element.textContent = sha.slice(0, 7);
  element.title = sha;
}

function find<T extends Element>(root: Element, selector: string, type: new () => T): T {
  const element = root.querySelector(selector);
  if (!(element instanceof type)) throw new Error(`the page has no ${selector}`);
  return element;
}
