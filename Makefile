# What one types here, and what CI runs. `make` alone lists it.
.PHONY: help check test bench demo
.DEFAULT_GOAL := help

say = @printf '\n\033[1m%s\033[0m\n' '$(1)'

help: ## list these
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

check: ## format, lints, documentation, tidiness: no services, no network
	$(call say,format)
	cargo fmt --check
	$(call say,lints)
	cargo clippy --locked --all-targets -- --deny warnings
	$(call say,documentation)
	RUSTDOCFLAGS='--deny warnings --allow rustdoc::private_intra_doc_links' cargo doc --locked --no-deps --document-private-items
	$(call say,tidiness)
	cargo test --locked --test tidy
	$(call say,scripts)
	scripts/check-scripts

test: ## everything, against a real RabbitMQ and Azurite that it installs and starts itself
	$(call say,what the tests need)
	scripts/install
	$(call say,build)
	cargo test --locked --no-run
	$(call say,tests)
	scripts/tally scripts/with-services scripts/run-tests

bench: ## measure, beside a yardstick, on a RabbitMQ of its own: SCENARIO=drain for one, else all
	cargo bench --locked --bench relay -- $(SCENARIO)

demo: ## events through a real broker into a table and Salesforce, rehearsed, with a kill -9 in the middle
	@demo/run
