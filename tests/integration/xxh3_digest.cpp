// Prints the digest of each file named on the command line, from the library itself: what tests
// that write checkpoints without our code put into their manifests.
#include <xxhash.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) return 1;
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
    std::printf("xxh3-128:%016llx%016llx\n", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  }
}
