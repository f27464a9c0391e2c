#!/bin/bash
# The service `frontend` of frappe_docker, with the sidecar's locations in its server.
set -euo pipefail

conf=/etc/nginx/conf.d
share=/usr/local/share/memora-srs

# Behind a proxy of its own the image believes what that says of the scheme.
fill() {
  sed -e "s|@BENCH@|frappe|g" \
    -e "s|@BIND@|${MEMORA_SRS:-memora-srs:8765}|g" \
    -e "s|@SITE_HEADER@|${FRAPPE_SITE_NAME_HEADER:-\$host}|g" \
    -e "s|@FRAPPE@|backend-server|g" \
    -e "s|@HTTP_TIMEOUT@|${PROXY_READ_TIMEOUT:-120}|g" \
    -e "s|@SIDECAR_TIMEOUT@|10|g" \
    -e "s|@FOLDER@|$share|g" -e "s|@FILE@|locations.conf|g" \
    -e "s|X-Forwarded-Proto \$scheme|X-Forwarded-Proto \$proxy_x_forwarded_proto|" "$1"
}

# The image's own entrypoint, as far as it writes the configuration: it ends by starting nginx.
sed '/^nginx -g/d' "$(command -v nginx-entrypoint.sh)" | bash

fill "$share/upstream.conf" >"$conf/memora-srs.conf"
fill "$share/locations.conf" >/tmp/memora-locations.conf
sed -i 's|^[[:blank:]]*location @webserver {|\tinclude /tmp/memora-locations.conf;\n\n&|' "$conf/frappe.conf"
grep -q memora-locations.conf "$conf/frappe.conf" || {
  echo "memora-frontend: the image's nginx template has no location @webserver" >&2
  exit 1
}

exec nginx -g 'daemon off;'
