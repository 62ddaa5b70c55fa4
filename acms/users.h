#ifndef ACMS_USERS_H
#define ACMS_USERS_H

/* Looking into the IdM store, beside a running server. argv[0] is the command's name. */
int users_command(int argc, char **argv);
int audit_command(int argc, char **argv);

#endif
