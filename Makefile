# Everything else is in .ci/run and in plain go commands.

# Hours of `make soak`.
DURATION ?= 8
# Where the logs and histories of a soak go.
ARTEFACTS ?= $(CURDIR)/soak

.PHONY: soak
# soak plays random fault schedules on clusters of three nodes. It needs root, iproute2 and nftables. A failure prints its
# seed; CONCLAVE_SEED=... go test -tags netns -run TestClusterRandom ./integration plays that schedule again.
soak:
	CONCLAVE_CLUSTER_SOAK=$(DURATION)h CONCLAVE_ARTEFACTS=$(ARTEFACTS) \
		go test -count=1 -tags netns -run '^TestClusterRandom$$' -timeout 0 -v ./integration
