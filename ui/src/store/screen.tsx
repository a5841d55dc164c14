export function StoreScreen() {
  return <p class="empty">Store</p>;
}
