# Builds the site as Vercel would, once; the image holds nothing but the output.
FROM node:24-slim AS build
WORKDIR /site
COPY . .
ARG VERCEL_ORG_ID
ARG VERCEL_PROJECT_ID
RUN --mount=type=secret,id=VERCEL_TOKEN \
    export VERCEL_TOKEN="$(cat /run/secrets/VERCEL_TOKEN)" \
    && npx --yes vercel@48 pull --yes --environment=production \
    && npx --yes vercel@48 build --prod --yes

FROM scratch
COPY --from=build /site/.vercel/output /output
CMD ["/output"]
