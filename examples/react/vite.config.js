import { defineConfig } from 'vite'

export default defineConfig({
  base: './', // so that the built page works in whatever folder it is served from
  oxc: { jsx: { runtime: 'automatic' } },
  server: { proxy: { '/channels': 'http://127.0.0.1:8080' } }, // `npm run dev` beside a running efir
})
