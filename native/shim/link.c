/*
 * The connection to conmond. A shared one is asked first, or started if the caller
 * wants that; where there is none, or it is not for us, a private one is started.
 * Whenever the link is lost the next conmond gets a hello with all that is needed
 * to go on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shim.h"

/* How long a conmond may take for its first word. One that we start has to start Node.js. */
#define SHARED_ANSWER_MS 5000
#define STARTED_ANSWER_MS 10000
#define PRIVATE_ANSWER_MS 30000
/* How long until the caller is let go: logs are opened meanwhile, which may take plug-ins a while. */
#define SHARED_READY_MS 15000
#define PRIVATE_READY_MS 60000
#define RETRY_AGAIN_MS 20 /* until one that is ending has closed its socket */
#define RETRY_FIRST_MS 100
#define RETRY_SOON_MS 250   /* the most as long as there is hope... */
#define RETRY_SOON_COUNT 100 /* ...which is so many attempts in a row */
#define RETRY_MOST_MS 30000
#define LASTING_MS 10000 /* a link that held so long was a good one */

#ifndef CONMON_NODE
#define CONMON_NODE "/usr/bin/node"
#endif

long long now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* ---- finding a conmond ---- */

/* -1 if not; `nobody` is set if that is because nobody listens there. */
static int connect_to(const char *directory, const char *name, bool *nobody)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(directory);
	struct ucred peer;
	socklen_t peer_size = sizeof peer;

	if (length + strlen(name) >= sizeof address.sun_path)
		return -1;
	memcpy(address.sun_path, directory, length);
	strcpy(address.sun_path + length, name);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	int failure = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
	/* Never trust a socket that somebody else serves: it would get the environment and the pipes. */
	if (!failure && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) == 0 && peer.uid == geteuid())
		return fd;
	*nobody = failure == ENOENT || failure == ECONNREFUSED;
	close(fd);
	return -1;
}

/* $CONMOND_SOCKET alone if it is set (empty: no shared conmond), else the user's, else root's. */
static int connect_shared(bool *nobody)
{
	const char *chosen = getenv("CONMOND_SOCKET"), *runtime_directory = getenv("XDG_RUNTIME_DIR");
	int fd = -1;

	*nobody = false;
	if (chosen)
		return *chosen ? connect_to(chosen, "", nobody) : -1;
	if (runtime_directory && *runtime_directory)
		fd = connect_to(runtime_directory, "/conmond/conmond.sock", nobody);
	if (fd < 0 && geteuid() == 0)
		fd = connect_to("/run", "/conmond/conmond.sock", nobody);
	return fd;
}

/* CONMOND=auto: where nobody listens, one is started; once, until it has served us. */
static bool may_start_shared(const struct shim *shim)
{
	const char *wish = getenv("CONMOND");

	if (!wish || strcmp(wish, "auto") != 0 || shim->tried_start)
		return false;
	/* It would become our child again as soon as we are the subreaper; see start_daemon(). */
	return !shim->sync || shim->processes[ROLE_RUNTIME].state == PROCESS_NONE;
}

/* Only what conmond itself has a use for: a caller's NODE_OPTIONS must not run code in it. */
static char **conmond_environment(char **from, char **into, size_t room)
{
	static const char *const wanted[] = { "CONMOND_SOCKET=", "HOME=", "LANG=", "PATH=", "TMPDIR=", "TZ=",
					      "XDG_RUNTIME_DIR=" };
	size_t count = 0;

	for (; *from; from++)
		for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
			if (strncmp(*from, wanted[i], strlen(wanted[i])) == 0 && count + 1 < room)
				into[count++] = *from;
	into[count] = NULL;
	return into;
}

/* Beside the shim: bin/conmon goes with dist/conmond.cjs, or with lib/conmon-ts/conmond.cjs once installed. */
static void find_bundle(char path[PATH_MAX])
{
	static const char *const places[] = { "/../dist/conmond.cjs", "/../lib/conmon-ts/conmond.cjs" };
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 64);
	char *slash;

	if (length < 0) {
		complain("cannot find out where conmon is, and so conmond: cannot read", "/proc/self/exe", errno);
		_exit(127);
	}
	path[length] = '\0';
	slash = strrchr(path, '/');
	for (size_t i = 0; slash && i < sizeof places / sizeof *places; i++) {
		strcpy(slash, places[i]);
		if (access(path, R_OK) == 0)
			return;
	}
	complain("cannot find conmond.cjs beside", path, 0);
	complain("run `npm run build` in the source tree, or install conmon-ts again", NULL, 0);
	_exit(127);
}

static void run_conmond(struct shim *shim, enum link_kind kind, int fd)
{
	char path[PATH_MAX], *environment[32];
	bool shared = kind == LINK_STARTED;
	sigset_t none;

	/* Not the caller's terminal, not its signals, and none of its descriptors but stderr. */
	setsid();
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		_exit(127);
	/* One that is shared has nothing to do with this caller: when it fails a private one says why. */
	if (shared && (dup2(null, STDERR_FILENO) < 0 || chdir("/") < 0))
		_exit(127);
	if (fd == 3 ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, 3) < 0)
		_exit(127);
	close_between(4, INT_MAX);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, shared ? &none : &shim->caller_mask, NULL);
	find_bundle(path);
	static const char *const nodes[] = { CONMON_NODE, "/usr/bin/node", "/usr/local/bin/node" };
	conmond_environment(shim->environ, environment, sizeof environment / sizeof *environment);
	int error = 0;
	for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
		char *arguments[] = { (char *)nodes[i], path, shared ? "--on-demand" : "--private", NULL };
		execve(nodes[i], arguments, environment);
		if (i == 0)
			error = errno;
	}
	complain("cannot start conmond: cannot execute", CONMON_NODE, error);
	complain("install Node.js there or as /usr/bin/node, or build conmon-ts again with the one you have", NULL, 0);
	_exit(127);
}

/*
 * Forks a process that outlives us and is not our child, neither now nor later: as
 * the subreaper we would get it back if it were orphaned, and wait for it at the
 * end. So its parent is ours: the process that the caller started, which is about
 * to leave, and later whoever reaps orphans. With --sync that would be the caller,
 * who knows nothing of it; there it is orphaned before we are the subreaper.
 * 0: in that process; -1: it failed.
 */
static pid_t start_daemon(const struct shim *shim)
{
	struct clone_args siblings = { .flags = CLONE_PARENT };

	if (!shim->sync)
		return (pid_t)syscall(SYS_clone3, &siblings, sizeof siblings);
	pid_t pid = fork();
	if (pid == 0) {
		pid = fork();
		if (pid != 0)
			_exit(pid < 0);
		return 0;
	}
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return -1;
	return pid;
}

/* Starts a conmond that serves us; returns our end of the connection, or -1. */
static int start_conmond(struct shim *shim, enum link_kind kind)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -1;
	pid_t pid = kind == LINK_PRIVATE ? fork() : start_daemon(shim);
	if (pid == 0)
		run_conmond(shim, kind, ends[1]);
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return -1;
	}
	if (kind == LINK_PRIVATE)
		shim->conmond = pid;
	return ends[0];
}

/* ---- the hello ---- */

/* The kernel lays these strings side by side: a run of neighbours goes out in one write. */
static bool write_strings(int file, char **strings)
{
	while (*strings) {
		const char *begin = *strings, *end = begin;
		while (*strings && *strings == end)
			end += strlen(*strings++) + 1;
		while (begin < end) {
			ssize_t written = write(file, begin, (size_t)(end - begin));
			if (written < 0)
				return false;
			begin += written;
		}
	}
	return true;
}

/* Arguments, environment and working directory, whatever their size, in a memory file. */
static int write_context(const struct shim *shim)
{
	char directory[PATH_MAX] = "", *directories[] = { directory, NULL };
	uint32_t counts[2] = { (uint32_t)shim->argc, 0 };
	int file = memfd_create("conmon-context", MFD_CLOEXEC);

	if (file < 0)
		return -1;
	while (shim->environ[counts[1]])
		counts[1]++;
	if (!getcwd(directory, sizeof directory))
		directory[0] = '\0'; /* removed: conmond says so when a relative path needs it */
	if (write(file, counts, sizeof counts) == (ssize_t)sizeof counts && write_strings(file, shim->argv) &&
	    write_strings(file, shim->environ) && write_strings(file, directories))
		return file;
	close(file);
	return -1;
}

static struct process_report report_on(const struct shim *shim, enum role role)
{
	const struct process *process = &shim->processes[role];
	return (struct process_report){ process->state, process->pid, process->status };
}

static bool greet(struct shim *shim)
{
	struct msg_hello hello = {
		.type = MSG_HELLO,
		.version = PROTOCOL_VERSION,
		.flags = (shim->sync ? HELLO_SYNC : 0u) | (shim->released ? HELLO_RELEASED : 0u) |
			 (shim->inherited_closed ? HELLO_INHERITED_CLOSED : 0u) | (shim->helloed ? HELLO_RESUMED : 0u),
		.shim_pid = getpid(),
		.caller_pid = shim->caller,
		.runtime = report_on(shim, ROLE_RUNTIME),
		.container = report_on(shim, ROLE_CONTAINER),
		.exit_command = report_on(shim, ROLE_EXIT_COMMAND),
		.unheeded_signal = shim->unheeded_signal,
	};
	int fds[SLOTS_MAX + 1];
	int file = write_context(shim);

	if (file < 0)
		return false;
	fds[0] = file;
	for (size_t i = 0; i < SLOTS_MAX; i++)
		if (shim->slots[i].id) {
			hello.slots[hello.slot_count] = shim->slots[i].id;
			fds[++hello.slot_count] = shim->slots[i].fd;
		}
	link_send(shim, &hello, offsetof(struct msg_hello, slots) + hello.slot_count * sizeof *hello.slots, fds,
		  hello.slot_count + 1);
	close(file);
	return shim->link >= 0;
}

/* The next conmond: one that is there, one that is started for all, one for us alone. */
static void find_conmond(struct shim *shim)
{
	bool nobody = false;

	shim->link_kind = LINK_SHARED;
	shim->link = shim->avoid_shared ? -1 : connect_shared(&nobody);
	shim->avoid_shared = false;
	if (shim->link < 0 && nobody && may_start_shared(shim)) {
		shim->link_kind = LINK_STARTED;
		shim->tried_start = true;
		shim->link = start_conmond(shim, LINK_STARTED);
	}
	if (shim->link < 0) {
		shim->link_kind = LINK_PRIVATE;
		shim->link = start_conmond(shim, LINK_PRIVATE);
	}
}

void link_establish(struct shim *shim)
{
	static const int answer_ms[] = { [LINK_SHARED] = SHARED_ANSWER_MS,
					 [LINK_STARTED] = STARTED_ANSWER_MS,
					 [LINK_PRIVATE] = PRIVATE_ANSWER_MS };

	find_conmond(shim);
	shim->link_state = LINK_GREETED;
	shim->since = now_ms();
	shim->answer_by = shim->since + answer_ms[shim->link_kind];
	shim->ready_by = shim->since + (shim->link_kind == LINK_PRIVATE ? PRIVATE_READY_MS : SHARED_READY_MS);
	if (shim->link < 0) {
		if (!shim->released)
			complain("cannot start conmond", NULL, errno);
		link_lost(shim);
	} else if (!greet(shim) && shim->link >= 0)
		link_lost(shim);
}

/* ---- when it breaks ---- */

static void end_private_conmond(struct shim *shim)
{
	int status = 0;
	char code[24];

	if (shim->conmond <= 0)
		return;
	/* Its end of the link is closed or useless: there is nothing left for it to do. */
	kill(shim->conmond, SIGKILL);
	pid_t reaped = waitpid(shim->conmond, &status, 0);
	shim->conmond = 0;
	if (shim->released || reaped < 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
		return;
	put_number(code, WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	complain(WIFEXITED(status) ? "conmond ended before the container was started, with status" :
				     "conmond ended before the container was started, by signal",
		 code, 0);
}

/* Nobody thinks for us: before the caller was let go that is an error of its own, later we try for ever. */
void link_lost(struct shim *shim)
{
	bool was_private = shim->link_kind == LINK_PRIVATE;
	bool was_greeted = shim->link_state == LINK_GREETED;
	/*
	 * One that hangs up without a word is about to end, and there may be another one already: because of
	 * that one it ends, if we had it started in vain.
	 */
	bool hung_up = !was_private && was_greeted && !shim->avoid_shared;
	bool again = hung_up && (shim->link_kind == LINK_STARTED || !shim->tried_again);

	/* A shared conmond that fails us at the start gets no second chance: the caller waits. */
	if (!was_private && !again && (was_greeted || !shim->released))
		shim->avoid_shared = true;
	if (shim->link >= 0)
		close(shim->link);
	shim->link = -1;
	shim->link_state = LINK_DOWN;
	end_private_conmond(shim);
	if (again && shim->link_kind == LINK_SHARED)
		shim->tried_again = true;
	if (again || (!was_private && shim->avoid_shared)) {
		shim->next_attempt = now_ms() + (again ? RETRY_AGAIN_MS : 0);
		return;
	}
	if (!shim->released && was_private) {
		complain("the container was not started: no conmond to supervise it", NULL, 0);
		finish(shim, 1);
	}
	if (now_ms() - shim->since > LASTING_MS)
		shim->failures = 0;
	/* Output waits in the pipe meanwhile, and so does the container once that is full. */
	long long pause = shim->failures <= 1 ? RETRY_FIRST_MS : RETRY_SOON_MS;
	for (int i = RETRY_SOON_COUNT; i < shim->failures && pause < RETRY_MOST_MS; i++)
		pause *= 2;
	if (pause > RETRY_MOST_MS)
		pause = RETRY_MOST_MS;
	/* One that had answered may just have been replaced: that is no reason to wait. */
	shim->next_attempt = now_ms() + (shim->failures++ ? pause : 0);
}

static void give_up(struct shim *shim, const char *private_text, const char *shared_text)
{
	if (!shim->released && shim->link_kind == LINK_PRIVATE)
		complain(private_text, NULL, 0);
	else if (!shim->released) {
		warn(shared_text, NULL);
		warn("starting a private conmond; if the shared one hangs, conmond --replace takes its place", NULL);
	}
	shim->avoid_shared = true;
	link_lost(shim);
}

/* Time is up for the hello's answer or for what comes before the release, or has come for another attempt. */
void link_timeout(struct shim *shim)
{
	long long now = now_ms();

	if (shim->link_state == LINK_GREETED && now >= shim->answer_by)
		give_up(shim, "conmond did not answer in time", "the shared conmond does not answer");
	else if (shim->link_state == LINK_UP && !shim->released && now >= shim->ready_by)
		give_up(shim, "conmond did not get ready for the container in time",
			"the shared conmond does not get ready for the container");
	if (shim->link_state == LINK_DOWN && now >= shim->next_attempt)
		link_establish(shim);
}

/* ---- messages ---- */

/*
 * An ordinary user may not have more descriptors under way than a process may have open, and hundreds of shims
 * greet a conmond at the same time when it has taken the place of another one. It is the soft limit that counts,
 * which is mostly a small part of the hard one, and is the caller's: it is raised for this one call.
 */
static ssize_t send_beyond_limit(int fd, const struct msghdr *packet)
{
	struct rlimit usual, raised;

	if (getrlimit(RLIMIT_NOFILE, &usual) < 0)
		return -1;
	raised = (struct rlimit){ .rlim_cur = usual.rlim_max, .rlim_max = usual.rlim_max };
	if (setrlimit(RLIMIT_NOFILE, &raised) < 0)
		return -1;
	ssize_t sent = sendmsg(fd, packet, MSG_NOSIGNAL | MSG_DONTWAIT);
	int error = errno;
	setrlimit(RLIMIT_NOFILE, &usual);
	errno = error;
	return sent;
}

/* All we ever say is also in the next hello: what cannot be sent now is not lost. */
void link_send(struct shim *shim, const void *message, size_t length, const int *fds, size_t fd_count)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE((SLOTS_MAX + 1) * sizeof(int))];
	} control;
	struct iovec data = { .iov_base = (void *)message, .iov_len = length };
	struct msghdr packet = { .msg_iov = &data, .msg_iovlen = 1 };

	if (shim->link < 0)
		return;
	if (fd_count > 0) {
		memset(&control, 0, sizeof control);
		packet.msg_control = control.room;
		packet.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, fd_count * sizeof(int));
	}
	ssize_t sent = sendmsg(shim->link, &packet, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && errno == ETOOMANYREFS)
		sent = send_beyond_limit(shim->link, &packet);
	/*
	 * One that has ended may have asked for something before: link_receive() comes to its end in good
	 * time. A conmond that lets its queue fill up does not work any more.
	 */
	if (sent < 0 && errno != EPIPE && errno != ECONNRESET)
		link_lost(shim);
}

void tell_exited(struct shim *shim, enum role role)
{
	const struct process *process = &shim->processes[role];
	const struct msg_exited message = { MSG_EXITED, role, process->state, process->pid, process->status };

	link_send(shim, &message, sizeof message, NULL, 0);
}

/* One message; the loop comes back for more. */
void link_receive(struct shim *shim)
{
	static unsigned char message[MESSAGE_MAX + 1];
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(KEEP_MAX * sizeof(int))];
	} control;
	struct iovec data = { .iov_base = message, .iov_len = MESSAGE_MAX };
	struct msghdr packet = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
	};
	ssize_t length = recvmsg(shim->link, &packet, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int fds[KEEP_MAX];
	size_t fd_count = 0;

	/* ECONNRESET is told once, before what the other end had sent, when it has ended without reading all of ours. */
	if (length < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNRESET))
		return;
	if (length < 0) {
		link_lost(shim);
		return;
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&packet); c; c = CMSG_NXTHDR(&packet, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			fd_count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(fds, CMSG_DATA(c), fd_count * sizeof(int));
		}
	/* The end; or an empty packet, which looks the same but for what may have come along. */
	if (length == 0) {
		for (size_t i = 0; i < fd_count; i++)
			close(fds[i]);
		link_lost(shim);
		return;
	}
	/* A message that was cut is no message of this protocol. */
	if (packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		length = 0;
	message[length] = '\0';
	shim->link_state = LINK_UP;
	shim->helloed = true;
	shim->tried_start = shim->tried_again = false;
	handle_request(shim, message, (size_t)length, fds, fd_count);
}
