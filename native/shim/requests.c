/*
 * What conmond may ask for. Every message is checked in full before anything
 * is done; one that does not fit the protocol costs conmond the link.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "shim.h"

static void failed(struct shim *shim, uint32_t request, int error, const char *what)
{
	struct { struct msg_failed head; char text[64]; } message = {
		.head = { .type = MSG_FAILED, .request = request, .error = error }
	};
	size_t length = strlen(what);

	if (length > sizeof message.text)
		length = sizeof message.text;
	memcpy(message.text, what, length);
	link_send(shim, &message, sizeof message.head + length, NULL, 0);
}

/*
 * Writes to one of the caller's pipes, once for each report: whoever asks again
 * does not know that his predecessor has asked already. 0 or an errno; with
 * EAGAIN nothing was written.
 */
static int report(struct shim *shim, const struct msg_report *request, const unsigned char *text, size_t length)
{
	int fd = slot_get(shim, request->slot);
	uint32_t bit = 1u << request->report;
	struct pollfd ready = { .fd = fd, .events = POLLOUT };

	if (shim->reported & bit)
		return 0;
	if (fd < 0)
		return EBADF;
	/* It may be in blocking mode, which is the caller's business too. */
	if (poll(&ready, 1, 0) == 0)
		return EAGAIN;
	ssize_t written = write(fd, text, length);
	if (written < 0 && (errno == EAGAIN || errno == EINTR))
		return EAGAIN;
	shim->reported |= bit;
	if (written < 0)
		return errno;
	return (size_t)written == length ? 0 : EIO;
}

static void do_spawn(struct shim *shim, const struct msg_spawn *request, int arguments)
{
	struct msg_spawned answer = { .type = MSG_SPAWNED, .role = request->role };
	int fds[3];
	int error = spawn(shim, (enum role)request->role, request->flags, arguments);

	/* Passthrough needs the caller's stdio no longer than this. */
	if (shim->keep_stdio && request->role == ROLE_RUNTIME)
		release(shim, 0);
	if (error) {
		failed(shim, MSG_SPAWN, error, "starting a process");
		return;
	}
	for (uint32_t id = SLOT_STDIN; id <= SLOT_STDERR && request->role == ROLE_RUNTIME; id++) {
		int fd = slot_get(shim, id);
		if (fd < 0)
			continue;
		fds[answer.slot_count] = fd;
		answer.slots[answer.slot_count++] = id;
	}
	answer.pid = shim->processes[request->role].pid;
	link_send(shim, &answer, sizeof answer, fds, answer.slot_count);
}

static bool spawn_fits(const struct shim *shim, const struct msg_spawn *request)
{
	const uint32_t known = SPAWN_PIPE_STDIN | SPAWN_PIPE_STDOUT | SPAWN_PIPE_STDERR | SPAWN_INHERIT_STDIO |
			       SPAWN_REPLACE_LISTEN_PID;

	if (request->role != ROLE_RUNTIME && request->role != ROLE_EXIT_COMMAND)
		return false;
	if (request->role == ROLE_EXIT_COMMAND && request->flags != 0)
		return false;
	return (request->flags & ~known) == 0 && shim->released &&
	       shim->processes[request->role].state == PROCESS_NONE;
}

/* What cannot be kept is told; all the others are kept. */
static void do_keep(struct shim *shim, const struct msg_keep *request, int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int error = slot_keep(shim, request->slots[i], fds[i]);
		if (error)
			failed(shim, MSG_KEEP, error, "keeping a descriptor");
		else
			fds[i] = -1;
	}
}

static bool keep_fits(const struct msg_keep *request, size_t length, size_t count)
{
	bool fits = count >= 1 && count <= KEEP_MAX && length == sizeof request->type + count * sizeof *request->slots;

	for (size_t i = 0; fits && i < count; i++)
		fits = request->slots[i] >= SLOT_FREE;
	return fits;
}

/* Reads the fixed part of a message that must have no more than that. */
#define EXACTLY(into) (length == sizeof(into) && memcpy(&(into), message, sizeof(into)))

static bool obey(struct shim *shim, uint32_t type, const unsigned char *message, size_t length, int *fds, size_t fd_count)
{
	struct msg_tell tell;
	struct msg_release let_go;
	struct msg_spawn start;
	struct msg_watch watch;
	struct msg_kill send;
	struct msg_keep keep = { 0 };
	struct msg_slot slot;
	struct msg_exit leave;
	struct msg_report told;
	int error;

	if (type != MSG_KEEP && fd_count != (type == MSG_SPAWN))
		return false;
	switch (type) {
	case MSG_TELL:
		if (length < sizeof tell)
			return false;
		memcpy(&tell, message, sizeof tell);
		if (tell.stream != STDOUT_FILENO && tell.stream != STDERR_FILENO)
			return false;
		write_all((int)tell.stream, (const char *)message + sizeof tell, length - sizeof tell);
		return true;
	case MSG_RELEASE:
		if (!EXACTLY(let_go) || shim->released || (let_go.flags & ~(uint32_t)RELEASE_KEEP_STDIO))
			return false;
		release(shim, let_go.flags);
		return true;
	case MSG_SPAWN:
		if (!EXACTLY(start) || !spawn_fits(shim, &start))
			return false;
		do_spawn(shim, &start, fds[0]);
		return true;
	case MSG_WATCH:
		if (!EXACTLY(watch) || watch.pid < 0 || watch.pid == 1)
			return false;
		if ((error = watch_container(shim, watch.pid)))
			failed(shim, type, error, "watching the container process");
		return true;
	case MSG_KILL:
		if (!EXACTLY(send) || send.signal < 0 || send.signal > 64)
			return false;
		if ((error = send_signal(shim, send.target, send.signal)))
			failed(shim, type, error, "sending a signal");
		return true;
	case MSG_KEEP:
		memcpy(&keep, message, length < sizeof keep ? length : sizeof keep);
		if (!keep_fits(&keep, length, fd_count))
			return false;
		do_keep(shim, &keep, fds, fd_count);
		return true;
	case MSG_DROP:
		return EXACTLY(slot) && slot.slot != 0 && slot_drop(shim, slot.slot);
	case MSG_CLOSE_INHERITED:
		if (length != sizeof(struct msg_plain))
			return false;
		close_inherited(shim);
		link_send(shim, &(struct msg_plain){ MSG_INHERITED_CLOSED }, sizeof(struct msg_plain), NULL, 0);
		return true;
	case MSG_REPORT:
		/* A pipe in blocking mode that has room takes no more than that without waiting. */
		if (length <= sizeof told || length > sizeof told + PIPE_BUF)
			return false;
		memcpy(&told, message, sizeof told);
		if ((told.slot != SLOT_SYNC_PIPE && told.slot != SLOT_ATTACH_PIPE) || told.report >= REPORTS_MAX)
			return false;
		error = report(shim, &told, message + sizeof told, length - sizeof told);
		link_send(shim, &(struct msg_reported){ MSG_REPORTED, told.report, error }, sizeof(struct msg_reported),
			  NULL, 0);
		return true;
	case MSG_EXIT:
		if (!EXACTLY(leave) || leave.status < 0 || leave.status > 255)
			return false;
		finish(shim, leave.status);
	case MSG_REFUSE:
		/* Another conmond may be willing; ours must be. */
		shim->avoid_shared = true;
		if (shim->link_kind == LINK_PRIVATE && !shim->released)
			complain("conmond refused:", (const char *)message + sizeof(struct msg_plain), 0);
		link_lost(shim);
		return true;
	default:
		return false;
	}
}

/* Descriptors that came along and were not kept are closed here, whatever happened. */
void handle_request(struct shim *shim, const unsigned char *message, size_t length, int *fds, size_t fd_count)
{
	uint32_t type = 0;

	if (length >= sizeof type)
		memcpy(&type, message, sizeof type);
	if (!obey(shim, type, message, length, fds, fd_count)) {
		if (!shim->released)
			complain("conmond broke the protocol between conmon and conmond: are both of one version?", NULL, 0);
		shim->avoid_shared = true;
		link_lost(shim);
	}
	for (size_t i = 0; i < fd_count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}
