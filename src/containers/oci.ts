/** As much of the OCI runtime specification's config.json (1.0) as is made or changed here. */

export interface OciUser {
  uid: number;
  gid: number;
  additionalGids?: number[];
}

export interface OciProcess {
  terminal?: boolean;
  user: OciUser;
  args: string[];
  env?: string[];
  cwd: string;
  [property: string]: unknown;
}

export interface OciMount {
  destination: string;
  type?: string;
  source?: string;
  options?: string[];
}

export interface OciLinux {
  namespaces?: { type: string; path?: string }[];
  resources?: Record<string, unknown>;
  [property: string]: unknown;
}

export interface OciConfig {
  ociVersion: string;
  process: OciProcess;
  root: { path: string; readonly?: boolean };
  hostname?: string;
  mounts?: OciMount[];
  linux?: OciLinux;
  [property: string]: unknown;
}

/** Whether a parsed config.json has what every container needs. */
export function isConfig(value: unknown): value is OciConfig {
  if (!isObject(value)) return false;
  const { process, root } = value;
  return isObject(root) && typeof root.path === "string" && isProcess(process);
}

function isProcess(value: unknown): value is OciProcess {
  return isObject(value) && Array.isArray(value.args) && value.args.every(isText);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
