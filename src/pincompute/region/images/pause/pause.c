/* Holds a pod's namespaces open. As process 1 of a pod that shares its process namespace it also reaps orphans. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/wait.h>

int main(void) {
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGCHLD);
    sigprocmask(SIG_BLOCK, &watched, 0);
    for (;;) {
        if (sigwaitinfo(&watched, 0) != SIGCHLD)
            return 0;
        while (waitpid(-1, 0, WNOHANG) > 0)
            ;
    }
}
