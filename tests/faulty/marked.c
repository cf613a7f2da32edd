/* A shared object that leaves a mark when any of its code runs. MANIFEST gives it a manifest section, ENTRY a symbol
   with the name of a plugin's entry point, but nothing behind it. */
#include <stdio.h>

__attribute__((constructor)) static void mark(void) {
    FILE *file = fopen(MARK, "w");
    if (file) fclose(file);
}

#ifdef MANIFEST
__attribute__((section(".kindred_manifest"), used)) static const char manifest[] = MANIFEST;
#endif

#ifdef ENTRY
const char _1as_0lib_1header_0root_bmodule_bloader[4096] = "not the header of abi_stable";
#endif
