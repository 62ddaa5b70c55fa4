#ifndef ACMC_COMMANDS_H
#define ACMC_COMMANDS_H

/* acmc's commands; argv[0] is "acmc NAME". Each returns its exit code. */
int setup_command(int argc, char **argv);
int update_command(int argc, char **argv);
int remove_command(int argc, char **argv);
int status_command(int argc, char **argv);
int wait_command(int argc, char **argv);
int requests_command(int argc, char **argv);
int pending_command(int argc, char **argv);
int show_command(int argc, char **argv);
int approve_command(int argc, char **argv);
int reject_command(int argc, char **argv);
int users_command(int argc, char **argv);
int reconcile_command(int argc, char **argv);
int receipt_command(int argc, char **argv);

#endif
