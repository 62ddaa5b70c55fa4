#include "acmc/spool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TAIL_FIRST = 4096, WINDOW = 128 * 1024, WINDOW_ELSEWHERE = 1024 };

void spool_free(struct spool *s)
{
	free(s->tail);
	free(s->window);
	if (s->has_file)
		close(s->file);
	*s = (struct spool){ .tail = NULL };
}

static void fail(struct spool *s, int why)
{
	if (!s->failure)
		s->failure = why;
}

const char *spool_failed(const struct spool *s)
{
	return s->failure ? strerror(s->failure) : NULL;
}

uint64_t spool_size(const struct spool *s)
{
	return s->written + s->tail_n;
}

/* --- writing --- */

static bool make_file(struct spool *s)
{
	char path[4096];
	const char *directory = getenv("TMPDIR");
	int n = snprintf(path, sizeof path, "%s/acmc-XXXXXX", directory && *directory ? directory : "/var/tmp");
	if (n < 0 || (size_t)n >= sizeof path) {
		fail(s, ENAMETOOLONG);
		return false;
	}
	s->file = mkstemp(path); /* mode 0600 */
	if (s->file < 0) {
		fail(s, errno);
		return false;
	}
	s->has_file = true;
	unlink(path);
	return true;
}

static void write_tail(struct spool *s)
{
	if (!s->has_file && !make_file(s))
		return;
	for (size_t done = 0; done < s->tail_n;) {
		ssize_t n = write(s->file, s->tail + done, s->tail_n - done);
		if (n < 0 && errno != EINTR) {
			fail(s, errno);
			return;
		}
		done += n > 0 ? (size_t)n : 0;
	}
	s->written += s->tail_n;
	s->tail_n = 0;
}

static bool make_room(struct spool *s, size_t n)
{
	size_t room = s->tail_room ? s->tail_room : TAIL_FIRST;
	while (room < s->tail_n + n)
		room *= 2;
	uint8_t *larger = realloc(s->tail, room);
	if (!larger) {
		fail(s, ENOMEM);
		return false;
	}
	s->tail = larger;
	s->tail_room = room;
	return true;
}

uint8_t *spool_room(struct spool *s, size_t n)
{
	if (s->tail_n && s->tail_n + n > SPOOL_MEMORY && !s->failure)
		write_tail(s);
	if (s->failure || (s->tail_n + n > s->tail_room && !make_room(s, n)))
		return NULL;
	s->tail_n += n;
	return s->tail + s->tail_n - n;
}

void spool_put(struct spool *s, const void *bytes, size_t n)
{
	uint8_t *to = n ? spool_room(s, n) : NULL;
	if (to)
		memcpy(to, bytes, n);
}

/* --- reading --- */

static bool read_window(struct spool *s, uint64_t offset, size_t n)
{
	/* Who goes on gets more than he asked for, who jumps about does not. */
	bool goes_on = offset >= s->window_at && offset <= s->window_at + s->window_n;
	size_t ahead = goes_on ? WINDOW : WINDOW_ELSEWHERE, wanted = n > ahead ? n : ahead;
	if (wanted > s->window_room) {
		free(s->window);
		s->window = malloc(wanted);
		s->window_room = s->window ? wanted : 0;
	}
	s->window_at = offset;
	s->window_n = 0;
	if (!s->window) {
		fail(s, ENOMEM);
		return false;
	}
	while (s->window_n < n) {
		ssize_t got = pread(s->file, s->window + s->window_n, wanted - s->window_n,
				    (off_t)(offset + s->window_n));
		if (got == 0 || (got < 0 && errno != EINTR)) {
			fail(s, got ? errno : EIO);
			return false;
		}
		s->window_n += got > 0 ? (size_t)got : 0;
	}
	return true;
}

const uint8_t *spool_at(struct spool *s, uint64_t offset, size_t n)
{
	if (s->failure)
		return NULL;
	if (n == 0)
		return (const uint8_t *)"";
	if (offset >= s->written)
		return s->tail + (offset - s->written);
	if (offset + n > s->written)
		write_tail(s);
	bool there = offset >= s->window_at && offset + n <= s->window_at + s->window_n;
	if (s->failure || (!there && !read_window(s, offset, n)))
		return NULL;
	return s->window + (offset - s->window_at);
}
