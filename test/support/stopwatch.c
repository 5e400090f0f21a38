/*
 * Starts a monitor as its callers do, again and again, and takes the times.
 *
 *     stopwatch FIRST COUNT until-told|until-ended ATTACH EXIT-DIR MONITOR [ARGUMENT...]
 *
 * Each `@` in an argument stands for the session's number, FIRST and up. The monitor gets a
 * sync pipe and a start pipe, and with ATTACH `attach` an attach pipe, whose caller never lets
 * it wait. One line for each session: microseconds from just before the monitor is forked until
 *
 *     left      its first process has ended
 *     told      the pid has come on the sync pipe
 *     reported  a file has been put into EXIT-DIR
 *     ended     nobody has the sync pipe open any more
 *
 * and the pid that was told, -1 for none. With `until-told` the last two are 0, and the session goes on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 20000

struct session {
	int sync, start, attach, exits, process;
	pid_t pid;
	double begun, left, told, reported, ended;
	long container;
};

static void fail(const char *what)
{
	fprintf(stderr, "stopwatch: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static char *with_number(const char *text, long number)
{
	char *filled = malloc(strlen(text) * 12 + 1), *at = filled;

	if (!filled)
		fail("malloc");
	for (; *text; text++)
		at += *text == '@' ? sprintf(at, "%ld", number) : sprintf(at, "%c", *text);
	return filled;
}

/* The monitor's end is named in the environment; ours is returned. */
static int make_pipe(const char *variable, int *theirs)
{
	int ends[2];
	char number[12];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		fail("socketpair");
	snprintf(number, sizeof number, "%d", ends[1]);
	setenv(variable, number, 1);
	*theirs = ends[1];
	return ends[0];
}

static void execute(char **command, const int theirs[3])
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fd != STDERR_FILENO)
			dup2(null, fd);
	for (int i = 0; i < 3; i++)
		if (theirs[i] >= 0)
			fcntl(theirs[i], F_SETFD, 0);
	execv(command[0], command);
	_exit(127);
}

static void begin(struct session *session, char **command, bool attaches)
{
	int theirs[3] = { -1, -1, -1 };

	session->sync = make_pipe("_OCI_SYNCPIPE", &theirs[0]);
	session->start = make_pipe("_OCI_STARTPIPE", &theirs[1]);
	session->attach = attaches ? make_pipe("_OCI_ATTACHPIPE", &theirs[2]) : -1;
	session->begun = now();
	/* Not fork(): the monitor's start is to be measured, not the copying of this process. */
	session->pid = vfork();
	if (session->pid == 0)
		execute(command, theirs);
	if (session->pid < 0)
		fail("vfork");
	session->process = (int)syscall(SYS_pidfd_open, session->pid, 0);
	if (session->process < 0)
		fail("pidfd_open");
	for (int i = 0; i < 3; i++)
		if (theirs[i] >= 0)
			close(theirs[i]);
	if (write(session->start, "go", 2) != 2)
		fail("the start pipe");
}

static void take_exit(struct session *session)
{
	int status;

	waitpid(session->pid, &status, 0);
	session->left = now();
	close(session->process);
	session->process = -1;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "stopwatch: the monitor's first process ended with wait status %d\n", status);
		exit(1);
	}
}

static void take_message(struct session *session)
{
	char text[4096];
	ssize_t length = read(session->sync, text, sizeof text - 1);

	if (length < 0)
		fail("the sync pipe");
	if (length == 0) {
		session->ended = now();
		close(session->sync);
		session->sync = -1;
		return;
	}
	text[length] = '\0';
	const char *value = strchr(text, ':');
	if (session->told > 0)
		return; /* an exec's exit status */
	session->told = now();
	session->container = value ? strtol(value + 1, NULL, 10) : 0;
}

static void take_exit_file(struct session *session)
{
	char events[4096];

	if (read(session->exits, events, sizeof events) <= 0)
		fail("inotify");
	if (session->reported == 0)
		session->reported = now();
}

static void let_it_go_on(struct session *session)
{
	char text[256];

	if (read(session->attach, text, sizeof text) <= 0 || write(session->start, "go", 2) != 2)
		fail("the attach pipe");
	close(session->attach);
	session->attach = -1;
}

static bool is_over(const struct session *session, bool until_told)
{
	if (session->left == 0 || session->told == 0)
		return false;
	/* Without a container there is no exit to report. */
	return until_told || (session->ended > 0 && (session->reported > 0 || session->container <= 0));
}

static void measure(struct session *session, bool until_told)
{
	while (!is_over(session, until_told)) {
		struct pollfd ready[] = {
			{ .fd = session->process, .events = POLLIN },
			{ .fd = session->sync, .events = POLLIN },
			{ .fd = session->exits, .events = POLLIN },
			{ .fd = session->attach, .events = POLLIN },
		};
		int count = poll(ready, sizeof ready / sizeof *ready, PATIENCE_MS);

		if (count == 0) {
			errno = ETIMEDOUT;
			fail("waiting for the monitor");
		}
		if (ready[0].revents)
			take_exit(session);
		if (ready[1].revents)
			take_message(session);
		if (ready[2].revents)
			take_exit_file(session);
		if (ready[3].revents)
			let_it_go_on(session);
	}
	for (const int *fd = (int[]){ session->sync, session->start, session->attach, -2 }; *fd != -2; fd++)
		if (*fd >= 0)
			close(*fd);
}

static double since(const struct session *session, double time)
{
	return time > 0 ? time - session->begun : 0;
}

int main(int argc, char **argv)
{
	if (argc < 7) {
		fprintf(stderr, "stopwatch: arguments are missing, see stopwatch.c\n");
		return 1;
	}
	long first = atol(argv[1]), count = atol(argv[2]);
	bool until_told = strcmp(argv[3], "until-told") == 0, attaches = strcmp(argv[4], "attach") == 0;
	int exits = inotify_init1(IN_CLOEXEC);

	if (exits < 0 || inotify_add_watch(exits, argv[5], IN_MOVED_TO) < 0)
		fail("inotify");
	for (long number = first; number < first + count; number++) {
		struct session session = { .exits = until_told ? -1 : exits };
		char **command = calloc((size_t)argc, sizeof *command);

		if (!command)
			fail("calloc");
		for (int i = 6; i < argc; i++)
			command[i - 6] = with_number(argv[i], number);
		begin(&session, command, attaches);
		measure(&session, until_told);
		printf("%.0f %.0f %.0f %.0f %ld\n", since(&session, session.left), since(&session, session.told),
		       since(&session, session.reported), since(&session, session.ended), session.container);
		for (int i = 6; i < argc; i++)
			free(command[i - 6]);
		free(command);
	}
	return 0;
}
