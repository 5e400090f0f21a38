/** What can be read from an executable, see elf(5). */
import { closeSync, openSync, readSync } from "node:fs";

const MAGIC = Buffer.from("\x7fELF", "latin1");
/** The class of 64-bit files and the encoding of little-endian ones. */
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
/** The program header that names the dynamic linker. */
const PT_INTERP = 3;

/** Whether an executable needs neither a dynamic linker nor libraries. False for what is no executable at all. */
export function isStatic(path: string): boolean {
  const fd = openSync(path, "r");
  try {
    const header = Buffer.alloc(64);
    if (readSync(fd, header, 0, 64, 0) < 64 || !header.subarray(0, 4).equals(MAGIC)) return false;
    const wide = header[4] === CLASS_64;
    const short = (at: number) =>
      header[5] === LITTLE_ENDIAN ? header.readUInt16LE(at) : header.readUInt16BE(at);
    const word = (from: Buffer, at: number) =>
      header[5] === LITTLE_ENDIAN ? from.readUInt32LE(at) : from.readUInt32BE(at);
    const offset = wide
      ? Number(
          header[5] === LITTLE_ENDIAN ? header.readBigUInt64LE(32) : header.readBigUInt64BE(32),
        )
      : word(header, 28);
    const [size, count] = wide ? [short(54), short(56)] : [short(42), short(44)];
    const headers = Buffer.alloc(size * count);
    if (readSync(fd, headers, 0, headers.length, offset) < headers.length) return false;
    for (let at = 0; at < headers.length; at += size) {
      if (word(headers, at) === PT_INTERP) return false;
    }
    return true;
  } finally {
    closeSync(fd);
  }
}
