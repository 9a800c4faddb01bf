declare module "paper:*" {
  const address: string;
  export default address;
}
