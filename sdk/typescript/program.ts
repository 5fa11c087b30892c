// What a TypeScript program does with the interface, type-checked against the generated types; it is never run.
import createClient from "openapi-fetch";
import type { components, paths } from "./generated.js";

type App = components["schemas"]["App"];
type Problem = components["schemas"]["Problem"];

const pin = createClient<paths>({ baseUrl: "https://gateway.example", headers: { Authorization: "Bearer token" } });

export async function deploy(project: string, image: string): Promise<string> {
  const app: App = {
    kind: "App",
    name: "hello",
    replicas: 3,
    tier: "OnDemand",
    containers: [{ name: "web", image, ports: [{ name: "http", port: 8080 }] }],
  };
  const { data, error } = await pin.POST("/v1/projects/{project}/apps", {
    params: { path: { project }, header: { "Idempotency-Key": crypto.randomUUID() }, query: { dryRun: true } },
    body: app,
  });
  if (error) return explain(error);
  return data.message;
}

export async function names(project: string): Promise<string[]> {
  const found: string[] = [];
  let cursor = "";
  do {
    const { data, error } = await pin.GET("/v1/projects/{project}/apps", {
      params: { path: { project }, query: { limit: 100, ...(cursor ? { cursor } : {}) } },
    });
    if (error) throw new Error(explain(error));
    found.push(...data.items.map((app) => `${app.name}: ${app.status?.state ?? "new"}`));
    cursor = data.cursor ?? "";
  } while (cursor);
  return found;
}

export async function stop(project: string, name: string): Promise<boolean> {
  const { data, error } = await pin.POST("/v1/projects/{project}/apps/{name}/stop", {
    params: { path: { project, name } },
    body: { reason: "not needed at night" },
  });
  if (error) throw new Error(explain(error));
  return data.changed;
}

export async function story(project: string, name: string): Promise<string[]> {
  const { data } = await pin.GET("/v1/projects/{project}/apps/{name}/history", { params: { path: { project, name } } });
  return (data?.items ?? []).map((record) => (record.type === "operation" ? `${record.author}: ${record.verb}` : record.type));
}

// Every refusal is a problem document: the code is one of a closed list, so a switch over it is checked.
function explain(problem: Problem): string {
  if (problem.code === "invalid") return (problem.errors ?? []).map((e) => `${e.field}: ${e.message}`).join("; ");
  return `${problem.detail}; ${problem.remedy ?? ""}`;
}

// @ts-expect-error a tier that does not exist is refused by the types
export const wrong: App = { kind: "App", name: "hello", tier: "Gold", containers: [] };
