/** What an image with these packages is called: "debian+nginx,redis-server". */
export const imageVariantName = (name: string, packages: readonly string[]): string =>
  packages.length === 0 ? name : `${name}+${sortedPackages(packages).join(',')}`;

export const sortedPackages = (packages: readonly string[]): string[] => [...new Set(packages)].sort();
