/** The entry of conmonctl. */
import { Command } from "commander";

async function main(): Promise<number> {
  let program: typeof import("./program.ts");
  try {
    program = await import("./program.ts");
  } catch (error) {
    return await withoutProgram(error as Error);
  }
  return await program.runProgram(process.argv);
}

/** Part of the installation is missing or broken; the doctor, which needs none of it, says which. */
async function withoutProgram(error: Error): Promise<number> {
  if (process.argv[2] !== "doctor") {
    process.stderr.write(
      `conmonctl: ${error.message}\nhint: conmonctl doctor says what is broken\n`,
    );
    return 1;
  }
  const { registerDoctor } = await import("./commands/doctor.ts");
  const program = new Command("conmonctl");
  registerDoctor(program);
  await program.parseAsync(process.argv);
  return Number(process.exitCode ?? 0);
}

void main().then((status) => {
  process.exitCode = status;
});
