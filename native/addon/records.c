/*
 * Long records of the CRI log format. All that there is to do for them is to copy, which the kernel does; so here is
 * what would be a loop of calls from JavaScript otherwise, each of which costs as much as some kilobytes.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "addon.h"
#include "arguments.h"

/* What JavaScript passes, as a Uint32Array: see RecordLayout in src/sys/records.ts. Offsets are in the memory. */
struct layout {
  /* The head of full records, and the one of pieces of lines, each so long. */
  uint32_t full_head, piece_head, head_length;
  /* Where a newline is. */
  uint32_t newline;
  /* Bytes of output in the longest record, and in the shortest that is left in parts. */
  uint32_t longest, shortest;
  /* Where pipes are read to. */
  uint32_t input, input_length;
};

/* What JavaScript is told, as a Uint32Array: see RelayedCounts there. */
struct counts {
  uint32_t taken, written, records, last_is_full, torn;
  /* What has been taken and not written. */
  uint32_t rest, rest_end;
};

struct part {
  uint32_t offset, length;
};

struct gathered {
  /* The first byte that is in none of them. */
  uint32_t next;
  uint32_t parts, records, length;
  bool last_is_full;
};

/* The largest number of parts for one record. */
#define RECORD_PARTS 3

/* Ends before a record that is too short, and where there is no room for the parts of one more. */
static struct gathered gather(const uint8_t *memory, const struct layout *layout, uint32_t from,
                              uint32_t end, struct part *parts, uint32_t most) {
  struct gathered all = {.next = from};
  while (all.next < end && all.parts + RECORD_PARTS <= most) {
    uint32_t start = all.next;
    uint32_t limit = end - start > layout->longest ? start + layout->longest : end;
    const uint8_t *newline = memchr(memory + start, '\n', limit - start);
    uint32_t stop = newline != NULL ? (uint32_t)(newline - memory) : limit;
    if (stop - start < layout->shortest)
      break;
    /* Also a newline right behind the longest record ends the line. */
    bool full = stop < end && memory[stop] == '\n';
    uint32_t length = stop - start + (full ? 1 : 0);
    uint32_t head = full ? layout->full_head : layout->piece_head;
    parts[all.parts++] = (struct part){head, layout->head_length};
    parts[all.parts++] = (struct part){start, length};
    /* The newline of a full record is the line's own. */
    if (!full)
      parts[all.parts++] = (struct part){layout->newline, 1};
    all.length += layout->head_length + length + (full ? 0 : 1);
    all.records++;
    all.last_is_full = full;
    all.next = start + length;
  }
  return all;
}

static bool read_numbers(napi_env env, napi_value array, size_t least, uint32_t **numbers,
                         size_t *length) {
  napi_typedarray_type type;
  void *data;
  if (napi_get_typedarray_info(env, array, &type, length, &data, NULL, NULL) != napi_ok ||
      type != napi_uint32_array) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "numbers must be in a Uint32Array");
    return false;
  }
  if (*length < least) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "there are too few numbers");
    return false;
  }
  *numbers = data;
  return true;
}

static bool is_inside(struct bytes memory, uint64_t offset, uint64_t length) {
  return offset + length <= memory.length;
}

/* Everything that the layout names is in the memory, and the shortest record has something in it. */
static bool read_layout(napi_env env, napi_value array, struct bytes memory,
                        struct layout *layout) {
  uint32_t *numbers;
  size_t length;
  if (!read_numbers(env, array, sizeof *layout / sizeof *numbers, &numbers, &length))
    return false;
  memcpy(layout, numbers, sizeof *layout);
  if (is_inside(memory, layout->full_head, layout->head_length) &&
      is_inside(memory, layout->piece_head, layout->head_length) &&
      is_inside(memory, layout->newline, 1) &&
      is_inside(memory, layout->input, layout->input_length) && layout->input_length > 0 &&
      layout->shortest > 0 && layout->head_length <= 1024 && memory.length <= INT32_MAX)
    return true;
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "a layout that does not fit the memory");
  return false;
}

/* gatherRecords(memory, layout, from, end, parts, counts) */
static napi_value gather_records(napi_env env, napi_callback_info info) {
  napi_value arguments[6];
  struct bytes memory;
  struct layout layout;
  int64_t from, end;
  uint32_t *parts, *counts;
  size_t parts_length, counts_length;
  if (!read_arguments(env, info, 6, arguments) || !read_bytes(env, arguments[0], &memory) ||
      !read_layout(env, arguments[1], memory, &layout) ||
      !read_integer(env, arguments[3], "end", 0, (int64_t)memory.length, &end) ||
      !read_integer(env, arguments[2], "from", 0, end, &from) ||
      !read_numbers(env, arguments[4], 0, &parts, &parts_length) ||
      !read_numbers(env, arguments[5], 4, &counts, &counts_length))
    return NULL;
  size_t most = parts_length / 2 < IOV_MAX ? parts_length / 2 : IOV_MAX;
  struct gathered all = gather(memory.data, &layout, (uint32_t)from, (uint32_t)end,
                               (struct part *)parts, (uint32_t)most);
  counts[0] = all.next;
  counts[1] = all.length;
  counts[2] = all.records;
  counts[3] = all.parts;
  return NULL;
}

/* Bytes written; 0 also when nothing can be written, for a reason that the next attempt will tell. */
static uint32_t write_parts(int fd, const uint8_t *memory, const struct part *parts,
                            uint32_t count) {
  struct iovec pieces[IOV_MAX];
  for (uint32_t i = 0; i < count; i++)
    pieces[i] = (struct iovec){(void *)(memory + parts[i].offset), parts[i].length};
  ssize_t written;
  do
    written = writev(fd, pieces, (int)count);
  while (written < 0 && errno == EINTR);
  return written < 0 ? 0 : (uint32_t)written;
}

/* Bytes read: fewer only if there are none, for a reason that the next attempt will tell. */
static uint32_t read_all(int fd, uint8_t *into, uint32_t length) {
  uint32_t at = 0;
  while (at < length) {
    ssize_t count = read(fd, into + at, length - at);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      break;
    at += (uint32_t)count;
  }
  return at;
}

/* Writes what has been read, from `rest` on. False: the rest is for JavaScript. */
static bool write_records(int file, const uint8_t *memory, const struct layout *layout,
                          uint32_t room, struct counts *counts) {
  struct part parts[IOV_MAX];
  while (counts->rest < counts->rest_end) {
    struct gathered all =
        gather(memory, layout, counts->rest, counts->rest_end, parts, IOV_MAX);
    if (all.records == 0 || all.length > room - counts->written)
      return false;
    uint32_t written = write_parts(file, memory, parts, all.parts);
    if (written < all.length) {
      counts->torn = written;
      return false;
    }
    counts->written += written;
    counts->records += all.records;
    counts->last_is_full = all.last_is_full;
    counts->rest = all.next;
  }
  return true;
}

/* relayRecords(pipe, count, file, room, memory, layout, counts) */
static napi_value relay_records(napi_env env, napi_callback_info info) {
  napi_value arguments[7];
  int pipe, file;
  int64_t count, room;
  struct bytes memory;
  struct layout layout;
  uint32_t *numbers;
  size_t length;
  if (!read_arguments(env, info, 7, arguments) || !read_descriptor(env, arguments[0], &pipe) ||
      !read_integer(env, arguments[1], "count", 0, INT32_MAX, &count) ||
      !read_descriptor(env, arguments[2], &file) ||
      !read_integer(env, arguments[3], "room", 0, INT32_MAX, &room) ||
      !read_bytes(env, arguments[4], &memory) ||
      !read_layout(env, arguments[5], memory, &layout) ||
      !read_numbers(env, arguments[6], sizeof(struct counts) / sizeof *numbers, &numbers,
                    &length))
    return NULL;
  struct counts counts = {0};
  bool goes_on = true;
  while (goes_on && counts.taken < count) {
    uint32_t left = (uint32_t)count - counts.taken;
    uint32_t size = left < layout.input_length ? left : layout.input_length;
    uint32_t taken = read_all(pipe, memory.data + layout.input, size);
    counts.taken += taken;
    counts.rest = layout.input;
    counts.rest_end = layout.input + taken;
    goes_on = write_records(file, memory.data, &layout, (uint32_t)room, &counts) && taken == size;
  }
  memcpy(numbers, &counts, sizeof counts);
  return NULL;
}

bool export_records(napi_env env, napi_value exports) {
  static const struct function functions[] = {
      {"gatherRecords", gather_records},
      {"relayRecords", relay_records},
  };
  return export_functions(env, exports, functions, sizeof functions / sizeof *functions);
}
