#include "acmc/stocking.h"

bool stocking_begin(struct stocking *s, struct stock *stock)
{
	*s = (struct stocking){ .stock = stock };
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->changed, NULL);
	users_init(&s->batch, arena_new(0), "", NULL);
	return s->batch.arena;
}

static void *run(void *context)
{
	struct stocking *s = context;
	pthread_mutex_lock(&s->mutex);
	for (;;) {
		while (!s->has_batch && !s->ended)
			pthread_cond_wait(&s->changed, &s->mutex);
		if (!s->has_batch)
			break;
		pthread_mutex_unlock(&s->mutex);
		stock_take(s->stock, &s->batch);
		pthread_mutex_lock(&s->mutex);
		s->has_batch = false;
		pthread_cond_signal(&s->changed);
	}
	pthread_mutex_unlock(&s->mutex);
	return NULL;
}

static bool have_thread(struct stocking *s)
{
	if (!s->has_thread && !s->alone) {
		s->has_thread = pthread_create(&s->thread, NULL, run, s) == 0;
		s->alone = !s->has_thread;
	}
	return s->has_thread;
}

void stocking_take(struct stocking *s, struct users *users)
{
	if (!have_thread(s)) {
		stock_take(s->stock, users);
		return;
	}
	pthread_mutex_lock(&s->mutex);
	while (s->has_batch)
		pthread_cond_wait(&s->changed, &s->mutex);
	users_swap(users, &s->batch);
	s->has_batch = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->mutex);
}

void stocking_end(struct stocking *s)
{
	if (s->has_thread) {
		pthread_mutex_lock(&s->mutex);
		s->ended = true;
		pthread_cond_signal(&s->changed);
		pthread_mutex_unlock(&s->mutex);
		pthread_join(s->thread, NULL);
	}
	arena_free(s->batch.arena);
	users_free(&s->batch);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->mutex);
}
