/*
 * What the shim uses of the C library, without the C library: its entry, and system calls under
 * their usual names, declared by the usual headers. See docs/architecture.md for the reason.
 *
 * Only for 64-bit Linux of the two kinds below; elsewhere the shim is linked with the libc.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The size of a signal set for the kernel, in bytes; sigset_t is larger. */
#define KERNEL_SIGSET_SIZE 8

#if defined __x86_64__

__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call begin\n");

static long enter_kernel(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

#elif defined __aarch64__

__asm__(".globl _start\n"
	"_start:\n"
	"	mov x29, #0\n"
	"	mov x30, #0\n"
	"	mov x0, sp\n"
	"	bl begin\n");

static long enter_kernel(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
		      x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

#else
#error "the shim has no entry of its own for this machine: link it with the C library"
#endif

int main(int argc, char **argv, char **environ);

char **environ;

/* The kernel leaves the arguments' count on the stack, then arguments, then environment. */
__attribute__((used, noreturn)) void begin(long *stack)
{
	int argc = (int)stack[0];
	char **argv = (char **)(stack + 1);

	environ = argv + argc + 1;
	_exit(main(argc, argv, environ));
}

int *__errno_location(void)
{
	static int number;
	return &number;
}

static long result_of(long result)
{
	if (result >= 0 || result < -4095)
		return result;
	errno = (int)-result;
	return -1;
}

/* As many arguments as are given, from `first` on; what a call does not take does not matter. */
#define CALL(...) CALL_(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_(number, a, b, c, d, e, f, ...) \
	result_of(enter_kernel(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)))

long syscall(long number, ...)
{
	va_list list;
	long a[6];

	va_start(list, number);
	for (size_t i = 0; i < sizeof a / sizeof *a; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	return CALL(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- processes ---- */

void _exit(int status)
{
	for (;;)
		CALL(SYS_exit_group, status);
}

void exit(int status)
{
	_exit(status);
}

pid_t fork(void)
{
	return (pid_t)CALL(SYS_clone, SIGCHLD);
}

int execve(const char *path, char *const argv[], char *const environment[])
{
	return (int)CALL(SYS_execve, path, argv, environment);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
	return (pid_t)CALL(SYS_wait4, pid, status, options, NULL);
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	return (int)CALL(SYS_waitid, type, id, info, options, NULL);
}

pid_t getpid(void) { return (pid_t)CALL(SYS_getpid); }
pid_t getppid(void) { return (pid_t)CALL(SYS_getppid); }
pid_t getpgid(pid_t pid) { return (pid_t)CALL(SYS_getpgid, pid); }
pid_t getpgrp(void) { return getpgid(0); }
pid_t setsid(void) { return (pid_t)CALL(SYS_setsid); }
uid_t geteuid(void) { return (uid_t)CALL(SYS_geteuid); }
mode_t umask(mode_t mask) { return (mode_t)CALL(SYS_umask, mask); }

int prctl(int option, ...)
{
	va_list list;

	va_start(list, option);
	long argument = va_arg(list, long);
	va_end(list);
	return (int)CALL(SYS_prctl, option, argument);
}

int getrlimit(__rlimit_resource_t resource, struct rlimit *limit)
{
	return (int)CALL(SYS_prlimit64, 0, resource, NULL, limit);
}

int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	return (int)CALL(SYS_prlimit64, 0, resource, limit, NULL);
}

/* ---- signals ---- */

int kill(pid_t pid, int signal)
{
	return (int)CALL(SYS_kill, pid, signal);
}

int sigemptyset(sigset_t *set)
{
	*set = (sigset_t){ 0 };
	return 0;
}

int sigaddset(sigset_t *set, int signal)
{
	set->__val[0] |= 1ul << (signal - 1);
	return 0;
}

int sigprocmask(int how, const sigset_t *set, sigset_t *before)
{
	return (int)CALL(SYS_rt_sigprocmask, how, set, before, KERNEL_SIGSET_SIZE);
}

/* No signal has a handler here, so that there is nothing to return from. What it was before is not told. */
sighandler_t signal(int number, sighandler_t handler)
{
	const struct { sighandler_t handler; unsigned long flags, restorer, mask; } action = { .handler = handler };

	return CALL(SYS_rt_sigaction, number, &action, NULL, KERNEL_SIGSET_SIZE) < 0 ? SIG_ERR : SIG_DFL;
}

int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *patience)
{
	return (int)CALL(SYS_rt_sigtimedwait, set, info, patience, KERNEL_SIGSET_SIZE);
}

int signalfd(int fd, const sigset_t *set, int flags)
{
	return (int)CALL(SYS_signalfd4, fd, set, KERNEL_SIGSET_SIZE, flags);
}

/* ---- files and descriptors ---- */

int open(const char *path, int flags, ...)
{
	/* Nothing is created here: there is no mode. */
	return (int)CALL(SYS_openat, AT_FDCWD, path, flags, 0);
}

ssize_t read(int fd, void *into, size_t size) { return CALL(SYS_read, fd, into, size); }
ssize_t write(int fd, const void *from, size_t size) { return CALL(SYS_write, fd, from, size); }
int close(int fd) { return (int)CALL(SYS_close, fd); }

int dup2(int fd, int onto)
{
	/* dup3() takes no two that are the same. */
	return fd == onto ? (fcntl(fd, F_GETFD) < 0 ? -1 : fd) : (int)CALL(SYS_dup3, fd, onto, 0);
}

int fcntl(int fd, int command, ...)
{
	va_list list;

	va_start(list, command);
	long argument = va_arg(list, long);
	va_end(list);
	return (int)CALL(SYS_fcntl, fd, command, argument);
}

int pipe2(int ends[2], int flags) { return (int)CALL(SYS_pipe2, ends, flags); }
int fchmod(int fd, mode_t mode) { return (int)CALL(SYS_fchmod, fd, mode); }
int fstat(int fd, struct stat *status) { return (int)CALL(SYS_fstat, fd, status); }
int chdir(const char *path) { return (int)CALL(SYS_chdir, path); }
int access(const char *path, int mode) { return (int)CALL(SYS_faccessat, AT_FDCWD, path, mode); }

ssize_t readlink(const char *path, char *into, size_t size)
{
	return CALL(SYS_readlinkat, AT_FDCWD, path, into, size);
}

char *getcwd(char *into, size_t size)
{
	if (CALL(SYS_getcwd, into, size) < 0)
		return NULL;
	/* "(unreachable)/..." for a directory that no path leads to any more. */
	if (into[0] == '/')
		return into;
	errno = ENOENT;
	return NULL;
}

int memfd_create(const char *name, unsigned flags) { return (int)CALL(SYS_memfd_create, name, flags); }

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	return (void *)CALL(SYS_mmap, at, size, protection, flags, fd, offset);
}

int poll(struct pollfd *list, nfds_t count, int milliseconds)
{
	struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000L };

	return (int)CALL(SYS_ppoll, list, count, milliseconds < 0 ? NULL : &time, NULL, KERNEL_SIGSET_SIZE);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	return (int)CALL(SYS_clock_gettime, clock, time);
}

/* ---- sockets ---- */

int socket(int domain, int type, int protocol)
{
	return (int)CALL(SYS_socket, domain, type, protocol);
}

int socketpair(int domain, int type, int protocol, int ends[2])
{
	return (int)CALL(SYS_socketpair, domain, type, protocol, ends);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
	return (int)CALL(SYS_connect, fd, address, size);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
	return (int)CALL(SYS_getsockopt, fd, level, name, value, size);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) { return CALL(SYS_sendmsg, fd, message, flags); }
ssize_t recvmsg(int fd, struct msghdr *message, int flags) { return CALL(SYS_recvmsg, fd, message, flags); }
