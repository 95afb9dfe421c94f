#!/bin/sh
# The steps of the image, one by one: `infra/image/build.sh STEP`. The Dockerfile's RUN lines call them, and so does
# `make image-steps`, which needs no Docker engine. IMAGE_ROOT is the image's root folder; in the image itself it is not set.
set -eu

root=${IMAGE_ROOT:-}
tools=$root/opt/tools
prefix=$root/opt/lakegate
app=$root/app
cd "$root/src"

case $1 in
tools) # uv, and what makes a wheel; they stay out of the image
  python3 -m venv "$tools"
  "$tools/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/image.lock
  ;;
packages) # what production needs and nothing else; wheels only, so that no compiler is needed
  "$tools/bin/uv" venv --quiet --python "$(command -v python3)" "$prefix"
  "$tools/bin/uv" pip install --quiet --python "$prefix/bin/python" --compile-bytecode --require-hashes --only-binary :all: -r requirements/production.lock
  ;;
product) # Lakegate itself, as a wheel
  "$tools/bin/uv" build --quiet --wheel --no-build-isolation --python "$tools/bin/python" --out-dir "$root/src/dist" .
  "$tools/bin/uv" pip install --quiet --python "$prefix/bin/python" --compile-bytecode --no-deps "$root"/src/dist/lakegate-*.whl
  ;;
settings) # DAGSTER_HOME, the workspace, and certificates of databases
  mkdir -p "$app/dagster" "$app/certificates"
  cp infra/dagster.yaml "$app/dagster/dagster.yaml"
  cp infra/workspace.yaml "$app/workspace.yaml"
  cp -R infra/certificates/. "$app/certificates/"
  ;;
check) # what the four services start is there and loads, with these packages alone
  cd "$app"
  PATH=$prefix/bin:$PATH
  export PATH
  AWS_REGION=us-east-1 LAKEGATE_RUN_QUEUE_URL=https://queue.invalid/runs python -c "
import dagster._cli.api, dagster._daemon.cli, dagster_aws.ecs, dagster_postgres, dagster_webserver.cli, psycopg2  # what commands and dagster.yaml name
import lakegate.cli.main, lakegate.definitions, lakegate.health, lakegate.workers.app, lakegate.workers.keeper, lakegate.workers.launcher
from lakegate.workers.warmth import import_all

import_all()
found = lakegate.definitions.defs().get_repository_def()
print(len(found.get_all_jobs()), 'jobs,', len(list(found.asset_graph.get_all_asset_keys())), 'assets load with what is installed here')
"
  for program in celery dagster dagster-daemon dagster-webserver lakegate; do test -x "$prefix/bin/$program"; done
  ;;
*)
  echo "build.sh: there is no step $1" >&2
  exit 2
  ;;
esac
