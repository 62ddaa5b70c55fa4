# Installing packages, demo, installation, containers.

deps:
	@deploy/install-packages build

deps-test:
	@deploy/install-packages build test

deps-compose:
	@deploy/install-packages build compose

## make demo          install what is missing, build, and show the main job
demo: deps
	@$(BUILT) -s all
	@deploy/demo $(BUILD)

## make install       into PREFIX (default /usr/local), DESTDIR
install: all
	install -D -m 0755 $(BUILD)/acms $(DESTDIR)$(PREFIX)/sbin/acms
	install -D -m 0755 $(BUILD)/acmc $(DESTDIR)$(PREFIX)/bin/acmc
	install -D -m 0755 deploy/acx-pki $(DESTDIR)$(PREFIX)/bin/acx-pki
	install -D -m 0644 acms/acms.8 $(DESTDIR)$(PREFIX)/share/man/man8/acms.8
	install -D -m 0644 acms/acms.yaml.5 $(DESTDIR)$(PREFIX)/share/man/man5/acms.yaml.5
	install -D -m 0644 acmc/acmc.1 $(DESTDIR)$(PREFIX)/share/man/man1/acmc.1
	install -D -m 0644 deploy/acx-pki.1 $(DESTDIR)$(PREFIX)/share/man/man1/acx-pki.1
	install -D -m 0644 acmc/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/acmc
	install -D -m 0644 acms/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/acms
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's,@SBINDIR@,$(PREFIX)/sbin,' deploy/acms.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/acms.service
	install -D -m 0644 deploy/examples/home.yaml $(DESTDIR)$(PREFIX)/share/doc/acx/home.yaml
	install -D -m 0644 deploy/examples/partner.yaml $(DESTDIR)$(PREFIX)/share/doc/acx/partner.yaml
	install -D -m 0644 deploy/examples/acmc.yaml $(DESTDIR)$(PREFIX)/share/doc/acx/acmc.yaml
	install -D -m 0644 proto/idm-store.cddl $(DESTDIR)$(PREFIX)/share/doc/acx/idm-store.cddl
	install -D -m 0644 proto/acx.proto $(DESTDIR)$(PREFIX)/share/doc/acx/acx.proto
	install -D -m 0644 proto/PROTOCOL.md $(DESTDIR)$(PREFIX)/share/doc/acx/PROTOCOL.md
	install -D -m 0644 deploy/what-happens-when.md $(DESTDIR)$(PREFIX)/share/doc/acx/what-happens-when.md
	install -D -m 0644 deploy/capacity.md $(DESTDIR)$(PREFIX)/share/doc/acx/capacity.md

## make test-compose  three MC systems as containers (needs root; starts dockerd if none runs)
test-compose: deps-compose
	@tests/compose/run
