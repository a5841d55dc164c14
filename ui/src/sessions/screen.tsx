export function SessionsScreen() {
  return <p class="empty">Sessions</p>;
}
