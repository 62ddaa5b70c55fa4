/* Runs a fuzz target over the files of a corpus folder, without libFuzzer: the ordinary test run. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f) {
		perror(path);
		return -1;
	}
	uint8_t *data = malloc(1 << 20);
	if (!data)
		abort();
	size_t n = fread(data, 1, 1 << 20, f);
	fclose(f);
	uint8_t *exact = malloc(n ? n : 1); /* so that a sanitizer sees a read past the end */
	if (!exact)
		abort();
	memcpy(exact, data, n);
	free(data);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
		return 2;
	}
	DIR *d = opendir(argv[1]);
	if (!d) {
		perror(argv[1]);
		return 1;
	}
	int count = 0, bad = 0;
	for (struct dirent *entry; (entry = readdir(d));) {
		char path[4096];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
		bad |= replay(path);
		count++;
	}
	closedir(d);
	printf("%s: %d inputs replayed\n", argv[1], count);
	return bad || count == 0;
}
