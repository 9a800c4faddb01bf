import { createRoot } from 'react-dom/client'
import { Chat } from './Chat.jsx'

const channel = new URLSearchParams(location.search).get('channel') ?? 'chat'

createRoot(document.getElementById('root')).render(<Chat url={`/channels/${encodeURIComponent(channel)}`} />)
