#!/bin/sh
# Write the page's configuration from the environment, then become nginx.
# API_URL: where the page finds the api, e.g. https://example.org/api, or /api on the same host.
set -eu

fail() {
    echo "start-web: $1" >&2
    exit 1
}

# These end up in JSON and in an nginx file: only characters that mean nothing there.
checked() {
    case "$2" in
        '') fail "$1 is not set" ;;
        *[!A-Za-z0-9._~:/?@=+%-]*) fail "$1 holds a character that it cannot hold" ;;
    esac
}

checked API_URL "${API_URL:-}"
checked ENVIRONMENT "${ENVIRONMENT:-}"
checked RELEASE_SHA "${RELEASE_SHA:-}"

mkdir -p /tmp/two-lane
printf '{"apiUrl": "%s", "version": "%s", "environment": "%s"}\n' \
    "$API_URL" "$RELEASE_SHA" "$ENVIRONMENT" > /tmp/two-lane/config.json
cat > /tmp/two-lane/headers.conf <<EOF
add_header X-Version "$RELEASE_SHA" always;
add_header X-Content-Type-Options nosniff always;
EOF

exec nginx -e stderr -c /etc/two-lane/nginx.conf
