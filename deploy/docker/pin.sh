#!/bin/sh
# Pin the base images of the Dockerfile: each tag gets the digest that it has today in its registry.
#   sh deploy/docker/pin.sh [DOCKERFILE]
# Needs Docker with buildx and the network. Commit the result; run it again for new tags and security updates.
set -eu
file=${1:-$(dirname "$0")/Dockerfile}
sed -n 's/^ARG [A-Z]*_IMAGE=\([^@]*\).*/\1/p' "$file" | while read -r image; do
  digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
  case $digest in
    sha256:*) sed "s|^\(ARG [A-Z]*_IMAGE=$image\).*|\1@$digest|" "$file" > "$file.part" && cat "$file.part" > "$file" && rm "$file.part" ;;
    *) echo "error: $image has no digest: $digest" >&2; exit 1 ;;
  esac
  echo "$image@$digest"
done
