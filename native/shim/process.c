/* Children: the runtime, the exit command, and the container process that is reparented here. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_send_signal 424 /* the same on every architecture */
#define SYS_pidfd_open 434
#endif

struct pipes {
	int ours[3];   /* by STDIN_FILENO...; -1 where there is none */
	int theirs[3];
};

static void close_pipes(int ends[3])
{
	for (int i = 0; i < 3; i++)
		if (ends[i] >= 0)
			close(ends[i]);
}

/* A container user must be able to reopen /dev/stdout, hence the mode. */
static int make_pipes(struct pipes *pipes, uint32_t flags)
{
	static const uint32_t wanted[3] = { SPAWN_PIPE_STDIN, SPAWN_PIPE_STDOUT, SPAWN_PIPE_STDERR };

	*pipes = (struct pipes){ { -1, -1, -1 }, { -1, -1, -1 } };
	for (int i = 0; i < 3; i++) {
		int ends[2];

		if (!(flags & wanted[i]))
			continue;
		if (pipe2(ends, O_CLOEXEC) < 0)
			goto failed;
		pipes->ours[i] = ends[i == STDIN_FILENO];
		pipes->theirs[i] = ends[i != STDIN_FILENO];
		if (fchmod(ends[0], 0777) < 0 || fcntl(pipes->ours[i], F_SETFL, O_NONBLOCK) < 0)
			goto failed;
	}
	return 0;
failed:;
	int error = errno;
	close_pipes(pipes->ours);
	close_pipes(pipes->theirs);
	return error;
}

void set_oom_score(const char *score)
{
	/* Best effort: lowering it takes a privilege that not everyone has. */
	int fd = *score ? open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	write_all(fd, score, strlen(score));
	close(fd);
}

static void child_fails(const char *what, const char *on)
{
	complain(what, on, errno);
	_exit(127);
}

static void *child_memory(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		child_fails("cannot allocate memory to start a process", NULL);
	return memory;
}

/* The vector that conmond wrote into a memory file: a 32-bit count, then NUL-terminated strings. */
static char **child_arguments(int file)
{
	struct stat status;
	if (fstat(file, &status) < 0 || status.st_size < (off_t)sizeof(uint32_t) + 2) {
		errno = EINVAL;
		child_fails("bad argument vector from conmond", NULL);
	}
	size_t size = (size_t)status.st_size;
	char *text = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	if (text == MAP_FAILED)
		child_fails("cannot map the argument vector", NULL);

	uint32_t count;
	memcpy(&count, text, sizeof count);
	/* The last byte ends the last string, so that no string runs out of the file. */
	if (count == 0 || count > size || text[size - 1] != '\0') {
		errno = EINVAL;
		child_fails("bad argument vector from conmond", NULL);
	}
	char **vector = child_memory(((size_t)count + 1) * sizeof *vector);
	char *at = text + sizeof count, *end = text + size;
	for (uint32_t i = 0; i < count; i++) {
		if (at >= end) {
			errno = EINVAL;
			child_fails("bad argument vector from conmond", NULL);
		}
		vector[i] = at;
		at += strlen(at) + 1;
	}
	return vector;
}

/*
 * sd_listen_fds(3) wants LISTEN_PID to be the reader's pid. Descriptors that
 * were meant for the monitor are meant for the runtime.
 */
static char **child_environment(const struct shim *shim, pid_t monitor, bool always)
{
	static const char name[] = "LISTEN_PID=";
	char **from = shim->environ;
	size_t count = 0, found = SIZE_MAX;

	for (; from[count]; count++)
		if (strncmp(from[count], name, sizeof name - 1) == 0)
			found = count;
	if (found == SIZE_MAX)
		return from;
	long listener = strtol(from[found] + sizeof name - 1, NULL, 10);
	if (!always && listener != monitor && listener != shim->caller)
		return from;

	char **copy = child_memory((count + 1) * sizeof *copy + sizeof name + 21);
	memcpy(copy, from, count * sizeof *copy);
	char *entry = (char *)(copy + count + 1);
	memcpy(entry, name, sizeof name - 1);
	put_number(entry + sizeof name - 1, getpid());
	copy[found] = entry;
	return copy;
}

static void child_stdio(const int theirs[3], uint32_t flags)
{
	if (flags & SPAWN_INHERIT_STDIO)
		return;
	for (int i = 0; i < 3; i++) {
		int fd = theirs[i];

		if (fd < 0)
			fd = open("/dev/null", (i == STDIN_FILENO ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
		if (fd < 0 || dup2(fd, i) < 0)
			child_fails("cannot set up the descriptors of a process", NULL);
	}
}

static void run_child(struct shim *shim, enum role role, uint32_t flags, int file, pid_t monitor, const int theirs[3])
{
	if (role == ROLE_RUNTIME) {
		/* Without its keeper a half-made container is of no use to anybody. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
			child_fails("cannot tie the runtime to the monitor", NULL);
		if (getppid() != monitor)
			_exit(127);
	}
	child_stdio(theirs, flags);
	char **arguments = child_arguments(file);
	char **environment =
		role == ROLE_RUNTIME ? child_environment(shim, monitor, flags & SPAWN_REPLACE_LISTEN_PID) : shim->environ;
	if (role == ROLE_EXIT_COMMAND)
		close_between(STDERR_FILENO + 1, INT_MAX);
	set_oom_score(shim->oom_score);
	sigprocmask(SIG_SETMASK, &shim->caller_mask, NULL);
	execve(arguments[0], arguments, environment);
	child_fails("cannot execute", arguments[0]);
}

/* Starts a process in its role; its ends of the pipes go into their slots. 0 or an errno. */
int spawn(struct shim *shim, enum role role, uint32_t flags, int arguments)
{
	static const uint32_t slots[3] = { SLOT_STDIN, SLOT_STDOUT, SLOT_STDERR };
	struct pipes pipes;
	pid_t monitor = getpid();
	int error = make_pipes(&pipes, flags);

	if (error)
		return error;
	if (prctl(PR_SET_CHILD_SUBREAPER, role == ROLE_RUNTIME) < 0)
		error = errno;
	pid_t pid = error ? -1 : fork();
	if (pid == 0)
		run_child(shim, role, flags, arguments, monitor, pipes.theirs);
	if (pid < 0 && !error)
		error = errno;
	close_pipes(pipes.theirs);
	for (int i = 0; i < 3 && !error; i++)
		if (pipes.ours[i] >= 0) {
			error = slot_keep(shim, slots[i], pipes.ours[i]);
			if (!error)
				pipes.ours[i] = -1;
		}
	if (error)
		close_pipes(pipes.ours);
	if (pid < 0)
		return error;
	shim->processes[role] = (struct process){ .state = PROCESS_RUNNING, .pid = pid };
	if (role == ROLE_EXIT_COMMAND)
		shim->exit_command_ran = true;
	if (error) /* no slot left for a pipe: it could not be served */
		kill(pid, SIGKILL);
	return error;
}

static void exited(struct shim *shim, enum role role, enum process_state state, int status)
{
	shim->processes[role].state = state;
	shim->processes[role].status = status;
	if (role == ROLE_CONTAINER && shim->container_pidfd >= 0) {
		close(shim->container_pidfd);
		shim->container_pidfd = -1;
	}
	tell_exited(shim, role);
}

static void account(struct shim *shim, pid_t pid, int status)
{
	for (enum role role = ROLE_RUNTIME; role < ROLE_COUNT; role++)
		if (shim->processes[role].state == PROCESS_RUNNING && shim->processes[role].pid == pid)
			exited(shim, role, PROCESS_EXITED, status);
	/* The link's own end says what there is to say about a private conmond. */
	if (pid == shim->conmond)
		shim->conmond = 0;
}

/*
 * Until the container's pid is known no stranger is reaped: one of them may be
 * the container process, and a zombie keeps both its status and its pid.
 */
void reap(struct shim *shim)
{
	int status;
	pid_t pid;

	if (shim->reap_strangers) {
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			account(shim, pid, status);
		return;
	}
	const pid_t known[] = { shim->conmond, shim->processes[ROLE_RUNTIME].pid,
				shim->processes[ROLE_EXIT_COMMAND].pid };
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i] > 0 && waitpid(known[i], &status, WNOHANG) == known[i])
			account(shim, known[i], status);
}

/* Its pidfd is readable: it has ended, as our child or as somebody else's. */
void container_gone(struct shim *shim)
{
	struct process *container = &shim->processes[ROLE_CONTAINER];

	reap(shim);
	if (container->state == PROCESS_RUNNING)
		exited(shim, ROLE_CONTAINER, PROCESS_VANISHED, 0);
}

/* The container process is `pid`; 0: there is none and there will be none. 0 or an errno. */
int watch_container(struct shim *shim, pid_t pid)
{
	struct process *container = &shim->processes[ROLE_CONTAINER];

	if (pid == 0) {
		shim->reap_strangers = true;
		reap(shim);
		return 0;
	}
	if (container->state != PROCESS_NONE || pid == getpid())
		return EINVAL;
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	int error = fd < 0 ? errno : 0;
	siginfo_t info;
	bool child = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
	/* Without pidfds (a kernel before 5.3) a child's end is still told by SIGCHLD. */
	if (error && error != ESRCH && !child)
		return error;
	shim->reap_strangers = true;
	shim->container_pidfd = fd;
	*container = (struct process){ .state = PROCESS_RUNNING, .pid = pid };
	if (error == ESRCH)
		exited(shim, ROLE_CONTAINER, PROCESS_VANISHED, 0);
	reap(shim);
	return 0;
}

/* Signals a process that is known to run: never a pid that may be somebody else's by now. */
int send_signal(struct shim *shim, uint32_t target, int signal)
{
	enum role role = target == ROLE_CONTAINER_GROUP ? ROLE_CONTAINER : (enum role)target;

	if (target == ROLE_NONE || target > ROLE_CONTAINER_GROUP)
		return EINVAL;
	struct process *process = &shim->processes[role];
	if (process->state != PROCESS_RUNNING)
		return ESRCH;
	if (target == ROLE_CONTAINER_GROUP) {
		/* Group 1 would be everybody. */
		pid_t group = getpgid(process->pid);
		if (group > 1 && group != getpgrp())
			return kill(-group, signal) < 0 ? errno : 0;
	}
	if (role == ROLE_CONTAINER && shim->container_pidfd >= 0)
		return syscall(SYS_pidfd_send_signal, shim->container_pidfd, signal, NULL, 0) < 0 ? errno : 0;
	return kill(process->pid, signal) < 0 ? errno : 0;
}
