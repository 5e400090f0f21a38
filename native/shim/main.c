/*
 * conmon: the part of the monitor that must not fail.
 *
 * It daemonizes, starts the runtime and the exit command, is the subreaper that
 * gets the container process's exit status, forwards signals, and keeps every
 * descriptor. What any of it means is known to conmond alone (link.c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim.h"

#ifndef CONMON_TS_VERSION
#define CONMON_TS_VERSION "unknown"
#endif
#ifndef CONMON_COMMIT
#define CONMON_COMMIT "unknown"
#endif

/* The compatibility level comes first: callers parse the third word. */
static const char version_text[] = "conmon version 2.2.1\ncommit: " CONMON_COMMIT "\nconmon-ts " CONMON_TS_VERSION "\n";

/* The options that take no value, as in src/session/option-table.ts; a test compares the two. */
static const char *const long_flags[] = {
	"api-version", "exec", "exec-attach", "full-attach", "help", "help-all", "leave-stdin-open", "log-rotate",
	"no-container-partial-message", "no-new-keyring", "no-pivot", "no-sync-log", "replace-listen-pid", "stdin",
	"sync", "syslog", "systemd-cgroup", "terminal", "version",
};
static const char short_flags[] = "?ehist";

static bool takes_value(const char *option)
{
	if (option[1] == '-') {
		if (strchr(option, '='))
			return false;
		for (size_t i = 0; i < sizeof long_flags / sizeof *long_flags; i++)
			if (strcmp(option + 2, long_flags[i]) == 0)
				return false;
		return true;
	}
	return strspn(option + 1, short_flags) != strlen(option + 1);
}

/* --sync decides whether we fork, long before conmond reads the options. */
static bool asks_for_sync(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (argv[i][0] != '-' || argv[i][1] == '\0')
			continue;
		if (strcmp(argv[i], "--sync") == 0)
			return true;
		if (takes_value(argv[i]))
			i++;
	}
	return false;
}

static void fail(const char *what, const char *on, int error)
{
	complain(what, on, error);
	exit(1);
}

/* A descriptor of ours must never be taken for stdio. */
static void open_missing_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static void read_oom_score(struct shim *shim)
{
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, shim->oom_score, sizeof shim->oom_score - 1);

	if (fd >= 0)
		close(fd);
	while (length > 0 && shim->oom_score[length - 1] == '\n')
		length--;
	shim->oom_score[length > 0 ? length : 0] = '\0';
}

/* The caller names a pipe of its own in the environment. */
static void adopt_pipe(struct shim *shim, const char *variable, enum slot slot)
{
	const char *value = getenv(variable);
	char *end;

	if (!value)
		return;
	errno = 0;
	long number = strtol(value, &end, 10);
	if (errno || *end || end == value || number < 0 || number > 0x7fffffff)
		fail(variable, "is not the number of a descriptor", 0);
	int fd = (int)number;
	bool shared = fd <= STDERR_FILENO;
	for (size_t i = 0; i < SLOTS_MAX; i++)
		shared = shared || (shim->slots[i].id && shim->slots[i].fd == fd);
	/* One owner for each descriptor, and stdio is going to be replaced. */
	if (shared ? (fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)) < 0 : fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		fail("cannot use the descriptor named in", variable, errno);
	slot_keep(shim, slot, fd);
}

/* The caller puts us into a cgroup first: nothing may be forked before it says so or goes away. */
static void await_start(const struct shim *shim)
{
	char buffer[8192];
	int fd = slot_get(shim, SLOT_START_PIPE);
	ssize_t length;

	if (fd < 0)
		return;
	do {
		length = read(fd, buffer, sizeof buffer);
		if (length < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, -1);
	} while (length < 0 && (errno == EINTR || errno == EAGAIN));
	if (length < 0)
		fail("cannot read the descriptor named in", "_OCI_STARTPIPE", errno);
}

/* The process that the caller started: it leaves when the one that stays says so. */
static void await_verdict(int verdict, pid_t survivor)
{
	unsigned char status;
	ssize_t length;
	char number[24];
	int wait_status;

	do
		length = read(verdict, &status, 1);
	while (length < 0 && errno == EINTR);
	if (length == 1)
		_exit(status);
	if (waitpid(survivor, &wait_status, 0) == survivor && WIFSIGNALED(wait_status)) {
		put_number(number, WTERMSIG(wait_status));
		fail("the monitor was killed before the container was started, by signal", number, 0);
	}
	fail("the monitor ended before the container was started", NULL, 0);
}

static void daemonize(struct shim *shim)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		fail("cannot make a pipe to the process that stays", NULL, errno);
	pid_t pid = fork();
	if (pid < 0)
		fail("cannot fork the process that stays", NULL, errno);
	if (pid > 0) {
		close(ends[1]);
		await_verdict(ends[0], pid);
	}
	close(ends[0]);
	shim->verdict = ends[1];
}

static void take_signals(struct shim *shim)
{
	sigset_t ours;

	/* A caller that ignores it has handed that down, and nobody would be told how a child has ended. */
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&ours);
	sigaddset(&ours, SIGCHLD);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGQUIT);
	shim->signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
	/* Blocked rather than ignored: an ignored SIGPIPE would be inherited by the container. */
	sigaddset(&ours, SIGPIPE);
	if (shim->signals < 0 || sigprocmask(SIG_BLOCK, &ours, &shim->caller_mask) < 0)
		fail("cannot set up signals", NULL, errno);
}

static void detach_stdio(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	close(null);
}

static void give_verdict(struct shim *shim, int status)
{
	if (shim->verdict < 0)
		return;
	write_all(shim->verdict, (const char[]){ (char)status }, 1);
	close(shim->verdict);
	shim->verdict = -1;
}

/* The container is going to be started: lets go of the caller and of its stdio. */
void release(struct shim *shim, uint32_t flags)
{
	shim->keep_stdio = flags & RELEASE_KEEP_STDIO;
	if (!shim->keep_stdio)
		detach_stdio();
	if (shim->released)
		return;
	setsid(); /* fails for a process group leader, which --sync can make us */
	shim->released = true;
	give_verdict(shim, 0);
}

/* A private conmond is done when its link is closed; one that is not is not waited for long. */
static void await_conmond(const struct shim *shim)
{
	const struct timespec patience = { .tv_sec = 2 };
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	while (waitpid(shim->conmond, NULL, WNOHANG) == 0)
		if (sigtimedwait(&child, NULL, &patience) < 0 && errno == EAGAIN)
			kill(shim->conmond, SIGKILL);
}

/* The last act: nothing of ours outlives us but the container's own children. */
void finish(struct shim *shim, int status)
{
	if (shim->link >= 0)
		close(shim->link);
	if (shim->conmond > 0)
		await_conmond(shim);
	give_verdict(shim, status);
	if (shim->exit_command_ran) {
		/*
		 * What is left behind by the runtime is waited for, but not if somebody wants us gone. A caller
		 * that does not listen any more does not want that: its SIGPIPE stays where it is.
		 */
		sigset_t mask = shim->caller_mask;
		sigaddset(&mask, SIGPIPE);
		sigprocmask(SIG_SETMASK, &mask, NULL);
		while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
			;
	}
	_exit(status);
}

/* Hands a signal on to whoever the caller means by it; conmond decides when there is nobody yet. */
void forward_signal(struct shim *shim, int signal)
{
	struct msg_signal message = { MSG_SIGNAL, signal, ROLE_NONE };

	/* A zombie would take the signal and do nothing with it. */
	reap(shim);
	if (send_signal(shim, ROLE_CONTAINER, signal) == 0)
		message.forwarded_to = ROLE_CONTAINER;
	else if (send_signal(shim, ROLE_RUNTIME, signal) == 0)
		message.forwarded_to = ROLE_RUNTIME;
	else
		shim->unheeded_signal = signal;
	link_send(shim, &message, sizeof message, NULL, 0);
}

static void take_signal(struct shim *shim)
{
	struct signalfd_siginfo info;

	while (read(shim->signals, &info, sizeof info) == (ssize_t)sizeof info)
		if (info.ssi_signo == SIGCHLD)
			reap(shim);
		else
			forward_signal(shim, (int)info.ssi_signo);
}

/* Milliseconds until link_timeout() has something to do; -1: never. */
static int patience(const struct shim *shim)
{
	if (shim->link_state == LINK_UP && shim->released)
		return -1;
	const long long due[] = { [LINK_DOWN] = shim->next_attempt,
				  [LINK_GREETED] = shim->answer_by,
				  [LINK_UP] = shim->ready_by };
	long long left = due[shim->link_state] - now_ms();
	return left > 0 ? (int)left : 0;
}

static void serve(struct shim *shim)
{
	for (;;) {
		/* poll() passes over negative descriptors. */
		struct pollfd ready[] = {
			{ .fd = shim->signals, .events = POLLIN },
			{ .fd = shim->link, .events = POLLIN },
			{ .fd = shim->container_pidfd, .events = POLLIN },
			{ .fd = shim->verdict, .events = 0 },
		};
		int count = poll(ready, sizeof ready / sizeof *ready, patience(shim));

		if (count < 0 && errno != EINTR)
			fail("cannot wait for events", NULL, errno);
		if (ready[0].revents)
			take_signal(shim);
		if (ready[2].revents && ready[2].fd == shim->container_pidfd)
			container_gone(shim);
		/* The process that the caller knows was killed: it wants no container. */
		if (ready[3].revents && ready[3].fd == shim->verdict) {
			close(shim->verdict);
			shim->verdict = -1;
			forward_signal(shim, SIGTERM);
		}
		if (ready[1].revents && ready[1].fd == shim->link)
			link_receive(shim);
		link_timeout(shim);
	}
}

int main(int argc, char **argv, char **environ)
{
	static struct shim shim = { .verdict = -1, .signals = -1, .container_pidfd = -1, .link = -1 };

	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		write_all(STDOUT_FILENO, version_text, sizeof version_text - 1);
		return 0;
	}
	shim.argc = argc;
	shim.argv = argv;
	shim.environ = environ;
	shim.sync = asks_for_sync(argc, argv);
	shim.caller = getpid();
	umask(0022);
	open_missing_stdio();
	adopt_pipe(&shim, "_OCI_SYNCPIPE", SLOT_SYNC_PIPE);
	adopt_pipe(&shim, "_OCI_STARTPIPE", SLOT_START_PIPE);
	adopt_pipe(&shim, "_OCI_ATTACHPIPE", SLOT_ATTACH_PIPE);
	read_oom_score(&shim);
	set_oom_score("-1000");
	await_start(&shim);
	if (!shim.sync)
		daemonize(&shim);
	take_signals(&shim);
	link_establish(&shim);
	serve(&shim);
}
