// Runs before the first paint: language and theme, as this visitor chose them here or on the page of efir, else as the browser wants them.
(() => {
  const kept = (name) => {
    try {
      return localStorage.getItem(`efir.${name}`)
    } catch {
      return null // closed storage
    }
  }
  const wanted = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase())
  const language = kept('language') ?? wanted.find((tag) => tag === 'ru' || tag === 'en')
  document.documentElement.lang = language === 'ru' ? 'ru' : 'en'
  const theme = kept('theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
})()
